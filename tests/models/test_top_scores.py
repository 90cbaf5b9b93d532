import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.top_scores import FEWEST_SEARCHES, TopScores
from tests.models.exponential_scores import COMPARISONS, SCALE, top_scores, true_fpir

FPIRS = (0.1, 0.01, 0.003, 0.001)


def fitted(scores: NDArray[np.floating[Any]]) -> TopScores:
    top = TopScores.of(scores, COMPARISONS)
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


@pytest.mark.parametrize("times", [0.25, 0.5, 1.0, 2.0, 4.0, 16.0])
@pytest.mark.parametrize("fpir", FPIRS)
def test_thresholds_of_other_galleries_hold_there(
    top: TopScores, fpir: float, times: float
) -> None:
    threshold = top.threshold(fpir, comparisons=times * COMPARISONS)
    assert true_fpir(threshold, times * COMPARISONS) == pytest.approx(fpir, rel=0.25)


def test_a_larger_gallery_is_the_same_as_a_smaller_share(top: TopScores) -> None:
    for fpir in FPIRS:
        for times in (0.5, 2, 16):
            here = 1 - (1 - fpir) ** (1 / times)
            there = top.threshold(fpir, comparisons=times * COMPARISONS)
            assert there == pytest.approx(top.threshold(here), abs=1e-9)
    assert top.threshold(0.01, comparisons=COMPARISONS) == top.threshold(0.01)


def test_lower_targets_and_larger_galleries_need_higher_thresholds(top: TopScores) -> None:
    by_fpir = [top.threshold(fpir) for fpir in np.geomspace(0.9, 1e-6, 400)]
    assert (np.diff(by_fpir) >= 0).all()
    assert by_fpir[-1] <= 1
    by_size = [top.threshold(0.01, comparisons=count) for count in np.linspace(0.5, 5_000, 250)]
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
    assert TopScores.of(top_scores(FEWEST_SEARCHES), COMPARISONS) is not None
    assert TopScores.of(top_scores(FEWEST_SEARCHES - 1), COMPARISONS) is None
    scores = top_scores(1_000)
    scores[:200] = scores.max()
    assert TopScores.of(scores, COMPARISONS) is None
    assert TopScores.of(np.ones(500), COMPARISONS) is None


def test_json_tells_the_tail(top: TopScores) -> None:
    told = json.loads(json.dumps(top.to_json(), allow_nan=False))
    assert set(told) == {"comparisons", "tail_share", "start", "shape", "scale"}
    assert told["comparisons"] == COMPARISONS
    assert np.mean(top_scores(20_000) > told["start"]) == pytest.approx(told["tail_share"])
    # Exponential scores have an exponential tail.
    assert told["shape"] == pytest.approx(0, abs=0.08)
    assert told["scale"] == pytest.approx(SCALE, rel=0.1)
