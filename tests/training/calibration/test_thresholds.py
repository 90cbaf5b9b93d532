import json

import pytest

from models.top_scores import TopScores
from tests.models.exponential_scores import COMPARISONS, top_scores
from training.calibration.thresholds import FPIRS, GROWTH, threshold_table


@pytest.fixture(scope="module")
def top() -> TopScores:
    fitted = TopScores.of(top_scores(20_000), COMPARISONS)
    assert fitted is not None
    return fitted


def test_of_two_kinds_the_higher_threshold_is_taken(top: TopScores) -> None:
    wide = TopScores.of(1.5 * top_scores(20_000, seed=4) - 0.15, COMPARISONS)
    assert wide is not None
    own = {row["fpir"]: row["by_gallery_size"] for row in threshold_table([top])}
    both = threshold_table([top, wide])
    higher = set()
    for row in both:
        for size, one in zip(row["by_gallery_size"], own[row["fpir"]], strict=True):
            other = wide.threshold(row["fpir"], comparisons=size["subjects"])
            assert size["threshold"] == pytest.approx(max(one["threshold"], other), abs=1e-6)
            higher.add(bool(other > one["threshold"]))
    assert higher == {True, False}


def test_the_table_has_every_target_at_every_size(top: TopScores) -> None:
    table = json.loads(json.dumps(threshold_table([top]), allow_nan=False))
    assert [row["fpir"] for row in table] == list(FPIRS)
    for row in table:
        sizes = row["by_gallery_size"]
        assert [size["times"] for size in sizes] == list(GROWTH)
        assert [size["subjects"] for size in sizes] == [125, 250, 500, 1_000, 2_000, 8_000]
        for size in sizes:
            threshold = top.threshold(row["fpir"], comparisons=size["subjects"])
            assert size["threshold"] == pytest.approx(threshold, abs=1e-6)
