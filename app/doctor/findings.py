"""What an examination finds."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "failed"]
"""warning: it works, but not as well or as safely as it might. failed: something does not work."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's."""

    check: str
    """What was looked at."""
    state: State
    text: str
    """What was found; no key, no password."""
    advice: str = ""
    """What to do; empty if nothing is to be done."""


def ok(check: str, text: str) -> Finding:
    """Nothing is wrong."""
    return Finding(check, "ok", text)


def warning(check: str, text: str, advice: str) -> Finding:
    """It might be better."""
    return Finding(check, "warning", text, advice)


def failed(check: str, text: str, advice: str) -> Finding:
    """It is wrong."""
    return Finding(check, "failed", text, advice)
