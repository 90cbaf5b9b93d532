import pytest

from benchmarks.soak import failures, measure

GOOD = {
    "errors": 0.0,
    "memory_growth": 0.05,
    "descriptors_began": 20.0,
    "descriptors_ended": 25.0,
    "threads_began": 7.0,
    "threads_ended": 9.0,
}


@pytest.mark.parametrize(
    ("figure", "value"),
    [("errors", 1), ("memory_growth", 0.051), ("descriptors_ended", 26), ("threads_ended", 10)],
)
def test_each_failure_is_one(figure: str, value: float) -> None:
    assert failures(GOOD) is None
    assert failures(GOOD | {figure: value}) == f"failed: {figure}"


@pytest.mark.slow
def test_a_short_run_errs_nowhere() -> None:
    figures = measure(identifications=20, cycles=5, clients=3, sample_s=0.01)
    assert (figures["identifications"], figures["cycles"], figures["errors"]) == (20, 5, 0)
    for what in ("identify", "enroll", "delete"):
        assert 0 < figures[f"{what}_p50_ms"] <= figures[f"{what}_p99_ms"]
    assert figures["memory_peak_mb"] > 50
