"""Numbers as JSON has them."""

from pydantic import BeforeValidator


def _without_point(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_without_point)
"""Annotates a strict integer: 7.0 is one, too, as JSON Schema has it, and some libraries write."""
