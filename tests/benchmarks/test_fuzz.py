import random

import pytest

from benchmarks import fuzz_uploads
from benchmarks.fuzz import failures, measure
from benchmarks.fuzz_archives import PACKINGS
from benchmarks.fuzz_hooks import PICTURES
from benchmarks.fuzz_pictures import MUTATIONS

GOOD = {
    "api_failures": 0.0,
    "api_errors": 0.0,
    "upload_5xx": 0.0,
    "upload_batches_unfinished": 0.0,
    "upload_batches_not_done": 0.0,
    "upload_ready_after": 1.0,
    "memory_growth": 0.05,
}


@pytest.mark.parametrize("kind", MUTATIONS)
def test_each_picture_is_made_the_same_way_again(kind: str) -> None:
    made = [MUTATIONS[kind](random.Random(3), PICTURES[0]) for _ in range(2)]  # noqa: S311  (no secret)
    assert made[0] == made[1] != PICTURES[0]


@pytest.mark.parametrize("kind", sorted(set(PACKINGS) - {"damaged", "bomb"}))
def test_each_archive_can_be_made(kind: str) -> None:
    for seed in range(5):
        assert PACKINGS[kind](random.Random(seed), PICTURES)  # noqa: S311  (no secret)


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("api_failures", 1),
        ("api_errors", 1),
        ("upload_5xx", 1),
        ("upload_batches_unfinished", 1),
        ("upload_batches_not_done", 1),
        ("upload_ready_after", 0),
        ("memory_growth", 0.051),
    ],
)
def test_each_failure_is_one(figure: str, value: float) -> None:
    assert failures(GOOD) is None
    assert failures(GOOD | {figure: value}) == f"failed: {figure}"


@pytest.mark.slow
def test_a_short_run_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_uploads, "REST_S", 0.0)
    figures = measure(examples=1, uploads=30)
    assert figures["api_operations"] > 20
    assert figures["api_requests"] > 100
    assert figures["uploads"] == 30
    assert figures["upload_batches"] > 0
    # So short, its memory tells nothing.
    assert failures(figures | {"memory_growth": 0}) is None
