import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.calibration.thresholds import (
    FEWEST_SEARCHES,
    FPIRS,
    GROWTH,
    TopScores,
    threshold_table,
)

SUBJECTS, SCALE = 500, 0.03


def top_scores(searches: int, *, subjects: int = SUBJECTS, seed: int = 0) -> NDArray[np.float64]:
    """Best of so many exponential scores, of each of so many searches."""
    uniform = np.random.default_rng(seed).random(searches)
    drawn: NDArray[np.float64] = -SCALE * np.log1p(-(uniform ** (1 / subjects)))
    return drawn


def true_fpir(threshold: float, subjects: int) -> float:
    return float(-np.expm1(subjects * np.log1p(-np.exp(-threshold / SCALE))))


def fitted(scores: NDArray[np.floating[Any]]) -> TopScores:
    top = TopScores.of(scores, SUBJECTS)
    assert top is not None
    return top


@pytest.fixture(scope="module")
def top() -> TopScores:
    return fitted(top_scores(20_000))


@pytest.mark.parametrize("fpir", [0.5, 0.2, 0.1, 0.03, 0.01, 0.003, 0.001])
def test_many_new_draws_pass_as_often_as_asked(top: TopScores, fpir: float) -> None:
    new = top_scores(400_000, seed=1)
    threshold = top.threshold(fpir)
    assert np.mean(new >= threshold) == pytest.approx(fpir, rel=0.15)
    assert threshold == pytest.approx(np.quantile(new, 1 - fpir), abs=0.005)


@pytest.mark.parametrize("times", GROWTH)
@pytest.mark.parametrize("fpir", FPIRS)
def test_thresholds_of_other_galleries_hold_there(
    top: TopScores, fpir: float, times: float
) -> None:
    subjects = round(times * SUBJECTS)
    threshold = top.threshold(fpir, subjects=subjects)
    assert true_fpir(threshold, subjects) == pytest.approx(fpir, rel=0.25)


def test_a_larger_gallery_is_the_same_as_a_smaller_share(top: TopScores) -> None:
    for fpir in FPIRS:
        for times in (0.5, 2, 16):
            here = 1 - (1 - fpir) ** (1 / times)
            there = top.threshold(fpir, subjects=round(times * SUBJECTS))
            assert there == pytest.approx(top.threshold(here), abs=1e-9)
    assert top.threshold(0.01, subjects=SUBJECTS) == top.threshold(0.01)


def test_lower_targets_and_larger_galleries_need_higher_thresholds(top: TopScores) -> None:
    by_fpir = [top.threshold(fpir) for fpir in np.geomspace(0.9, 1e-6, 400)]
    assert (np.diff(by_fpir) >= 0).all()
    assert by_fpir[-1] <= 1
    by_size = [top.threshold(0.01, subjects=subjects) for subjects in range(1, 5_000, 20)]
    assert (np.diff(by_size) >= 0).all()


def test_no_threshold_is_above_the_highest_cosine() -> None:
    top = fitted(top_scores(200) + 0.75)
    assert top.threshold(1e-6) == 1


def test_the_order_of_the_searches_does_not_matter(top: TopScores) -> None:
    turned = fitted(top_scores(20_000)[::-1])
    assert turned.to_json() == top.to_json()


def test_float32_scores_will_do() -> None:
    narrow = fitted(top_scores(1_000).astype(np.float32))
    wide = fitted(top_scores(1_000))
    assert narrow.threshold(0.01) == pytest.approx(wide.threshold(0.01), abs=1e-3)


def test_nothing_is_fitted_to_too_few_searches_or_to_equal_scores() -> None:
    assert TopScores.of(top_scores(FEWEST_SEARCHES), SUBJECTS) is not None
    assert TopScores.of(top_scores(FEWEST_SEARCHES - 1), SUBJECTS) is None
    scores = top_scores(1_000)
    scores[:200] = scores.max()
    assert TopScores.of(scores, SUBJECTS) is None
    assert TopScores.of(np.ones(500), SUBJECTS) is None


def test_of_two_kinds_the_higher_threshold_is_taken(top: TopScores) -> None:
    wide = fitted(1.5 * top_scores(20_000, seed=4) - 0.15)
    own = {row["fpir"]: row["by_gallery_size"] for row in threshold_table([top])}
    both = threshold_table([top, wide])
    higher = set()
    for row in both:
        for size, one in zip(row["by_gallery_size"], own[row["fpir"]], strict=True):
            other = wide.threshold(row["fpir"], subjects=size["subjects"])
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
            threshold = top.threshold(row["fpir"], subjects=size["subjects"])
            assert size["threshold"] == pytest.approx(threshold, abs=1e-6)


def test_json_tells_the_tail(top: TopScores) -> None:
    told = json.loads(json.dumps(top.to_json(), allow_nan=False))
    assert set(told) == {"subjects", "tail_share", "start", "shape", "scale"}
    assert told["subjects"] == SUBJECTS
    assert np.mean(top_scores(20_000) > told["start"]) == pytest.approx(told["tail_share"])
    # Exponential scores have an exponential tail.
    assert told["shape"] == pytest.approx(0, abs=0.08)
    assert told["scale"] == pytest.approx(SCALE, rel=0.1)
