"""What a benchmark's figures must keep to."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console


@dataclass(frozen=True)
class Demand:
    """A bound that a figure must keep."""

    what: str
    value: float
    least: float

    @property
    def holds(self) -> bool:
        return self.value >= self.least


def show(demands: Sequence[Demand]) -> str | None:
    """Print what must be true in points, and whether it is; a sentence if something isn't."""
    console = Console(stderr=True)
    for demand in demands:
        mark = "holds" if demand.holds else "MISSED"
        console.print(
            f"{mark:7} {demand.what}: {100 * demand.value:+.2f} points, "
            f"at least {100 * demand.least:+.2f}",
            soft_wrap=True,
        )
    missed = [demand.what for demand in demands if not demand.holds]
    return f"missed: {'; '.join(missed)}" if missed else None
