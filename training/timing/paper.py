"""What the paper measured: its Table 3, on a GTX 1660 with 512 numbers a template."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperEpoch:
    """One row of it: seconds an epoch."""

    classes: int
    subnets: int
    flat_seconds: float
    serial_seconds: float
    parallel_seconds: float
    """With as many machines as subnets."""

    @property
    def serial_speed_up(self) -> float:
        return self.flat_seconds / self.serial_seconds


TABLE_3 = (
    PaperEpoch(5_000, 2, 14.3, 7.6, 3.8),
    PaperEpoch(10_000, 5, 71.0, 18.2, 3.7),
    PaperEpoch(20_000, 10, 307.0, 39.0, 3.9),
    PaperEpoch(50_000, 25, 1_647.0, 91.8, 3.6),
)


def paper_epoch(classes: int, subnets: int) -> PaperEpoch | None:
    """The paper's row for so many classes and subnets, or None where it has none."""
    sizes = {(row.classes, row.subnets): row for row in TABLE_3}
    return sizes.get((classes, subnets))
