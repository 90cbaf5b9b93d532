import pytest

from training.timing.paper import TABLE_3, paper_epoch


def test_the_papers_own_speed_up_follows_from_its_seconds() -> None:
    largest = paper_epoch(50_000, 25)
    assert largest == TABLE_3[-1]
    assert largest.serial_speed_up == pytest.approx(17.9, abs=0.05)
    assert largest.flat_seconds / largest.parallel_seconds == pytest.approx(453, rel=0.02)


def test_other_sizes_are_not_in_the_paper() -> None:
    assert paper_epoch(50_000, 24) is None
