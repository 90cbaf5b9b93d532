import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.footprint import Footprints, edges, missed, sampled


def test_a_warm_up_does_not_count_as_growth() -> None:
    assert edges([1.0] * 10 + [100.0] * 90) == (100, 100)


def test_the_last_tenth_is_compared_with_the_first_after_the_warm_up() -> None:
    assert edges([float(number) for number in range(100)]) == (14, 95)


def test_few_samples_tell_nothing() -> None:
    with pytest.raises(ValueError, match="too few"):
        edges([1.0] * 9)


def test_descriptors_that_stay_open_are_seen(tmp_path: Path) -> None:
    footprints = Footprints(os.getpid())
    with ExitStack() as stack:
        for number in range(20):
            stack.enter_context((tmp_path / str(number)).open("w"))
            footprints.sample()
    figures = footprints.figures()
    assert figures["descriptors_ended"] - figures["descriptors_began"] == 17
    assert figures["threads_ended"] == figures["threads_began"]
    assert figures["memory_began_mb"] > 1


def test_a_process_is_looked_at_all_the_time() -> None:
    with sampled(os.getpid(), every_s=0.01) as footprints:
        while len(footprints.samples) < 10:
            pass
    assert footprints.figures()["memory_peak_mb"] > 1


def test_what_does_not_hold_is_named() -> None:
    figures = {"a": 1.0, "b": 2.0}
    assert missed(figures, {"a": lambda a: a == 1, "b": lambda b: b == 1}) == ["b"]
