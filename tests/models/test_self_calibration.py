from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from models.calibration import Calibration
from models.non_mated import NonMated
from models.probability import Probability, feature_rows
from models.self_calibration import (
    GAP_SEARCHES_FOR_HALF,
    SEARCHES_FOR_HALF,
    UNTOLD_SEARCHES,
    SelfCalibration,
)
from models.top_scores import FEWEST_SEARCHES, TopScores
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest
from tests.models.exponential_scores import SCALE, top_scores, true_fpir
from tests.models.trained_galleries import DIMENSION, draw, gallery_of
from tests.training import small_stores

COMPARISONS = 300.0
PRIOR = Calibration(
    embedder_sha256="0" * 64,
    cosines=-SCALE * np.log(np.array([0.5, 0.1, 0.01, 1e-3])),
    log_fmr=np.log([0.5, 0.1, 0.01, 1e-3]),
    tail_shape=0.0,
    tail_scale=SCALE,
    gap=0.08,
    probability=Probability(0.6, (24.0, 7.4, -0.4, -1.2)),
)
"""Of strangers whose single scores are exponential, as are those of `top_scores`."""


def searches(count: int, *, shift: float = 0.0, stretch: float = 1.0, seed: int = 0) -> NonMated:
    """Searches among strangers who score higher by `shift`, in a tail `stretch` times as long."""
    return NonMated(
        top_scores=stretch * top_scores(count, comparisons=COMPARISONS, seed=seed) + shift,
        gaps=np.random.default_rng(seed).exponential(0.03, count),
        comparisons=COMPARISONS,
    )


def thresholds(calibration: SelfCalibration | Calibration) -> NDArray[np.float64]:
    return np.array(
        [
            calibration.threshold(max_fpir=fpir, comparisons=times * COMPARISONS)
            for fpir in (0.1, 0.01, 0.001)
            for times in (0.3, 1.0, 4.0)
        ]
    )


def test_without_searches_the_prior_decides() -> None:
    calibration = SelfCalibration.of_searches(PRIOR, [])
    np.testing.assert_array_equal(thresholds(calibration), thresholds(PRIOR))
    assert calibration.gap == PRIOR.gap
    assert calibration.curve == PRIOR.probability


def test_a_few_searches_change_nothing() -> None:
    few = SelfCalibration.of_searches(PRIOR, [searches(UNTOLD_SEARCHES, shift=0.3)])
    np.testing.assert_array_equal(thresholds(few), thresholds(PRIOR))


@pytest.mark.parametrize("shift", [-0.2, 0.1, 0.3])
def test_where_strangers_look_more_alike_the_prior_follows(shift: float) -> None:
    some = SelfCalibration.of_searches(PRIOR, [searches(FEWEST_SEARCHES - 1, shift=shift)])
    assert some.own[0].tail is None
    np.testing.assert_allclose(thresholds(some), thresholds(PRIOR) + shift, atol=0.02)


def test_a_shift_that_may_be_chance_is_hardly_believed() -> None:
    """The mean of many collections that are like the prior is nearer to it than their searches."""
    believed, found = [], []
    for seed in range(40):
        some = searches(50, seed=seed)
        believed.append(SelfCalibration.of_searches(PRIOR, [some]).own[0].shift)
        expected = PRIOR.threshold(max_fpir=0.5, comparisons=COMPARISONS)
        found.append(np.median(some.top_scores) - expected)
    assert np.std(believed) < 0.5 * np.std(found)


@pytest.mark.parametrize("count", [60, 1_000])
def test_people_who_are_enrolled_twice_move_nothing(count: int) -> None:
    clean = searches(count)
    doubled, gaps = clean.top_scores.copy(), clean.gaps.copy()
    doubles = slice(0, count // 20)
    doubled[doubles], gaps[doubles] = 0.8, 0.4
    of_both, of_clean = (
        SelfCalibration.of_searches(PRIOR, [each])
        for each in (NonMated(doubled, gaps, clean.comparisons), clean)
    )
    np.testing.assert_allclose(thresholds(of_both), thresholds(of_clean), atol=0.01)
    assert of_both.gap == pytest.approx(of_clean.gap, abs=0.005)


def test_if_everybody_is_enrolled_twice_the_prior_is_left() -> None:
    doubles = NonMated(np.full(500, 0.8), np.full(500, 0.4), COMPARISONS)
    calibration = SelfCalibration.of_searches(PRIOR, [doubles])
    assert (thresholds(calibration) <= 1).all()
    assert 0 < calibration.gap < 1


def test_own_tail_counts_more_the_more_searches_there_are() -> None:
    for count in (FEWEST_SEARCHES, SEARCHES_FOR_HALF, 10_000):
        found = searches(count, stretch=1.2)
        tail = TopScores.of(found.top_scores, COMPARISONS)
        assert tail is not None
        calibration = SelfCalibration.of_searches(PRIOR, [found])
        (own,) = calibration.own
        # A few of the highest are taken for doubles.
        assert own.weight == pytest.approx(count / (count + SEARCHES_FOR_HALF), rel=1e-3)
        expected = own.weight * tail.threshold(0.01) + (1 - own.weight) * (
            PRIOR.threshold(max_fpir=0.01, comparisons=COMPARISONS) + own.shift
        )
        assert calibration.threshold(max_fpir=0.01, comparisons=COMPARISONS) == pytest.approx(
            expected, abs=3e-3
        )


@pytest.mark.parametrize("comparisons", [100.0, 300.0, 1_000.0])
@pytest.mark.parametrize("fpir", [0.1, 0.01])
def test_strangers_of_the_collection_pass_as_often_as_asked(
    fpir: float, comparisons: float
) -> None:
    calibration = SelfCalibration.of_searches(PRIOR, [searches(20_000, shift=0.2, stretch=1.5)])
    threshold = calibration.threshold(max_fpir=fpir, comparisons=comparisons)
    passed = true_fpir((threshold - 0.2) / 1.5, comparisons)
    assert passed == pytest.approx(fpir, rel=0.2)
    prior_alone = PRIOR.threshold(max_fpir=fpir, comparisons=comparisons)
    assert true_fpir((prior_alone - 0.2) / 1.5, comparisons) > 3 * fpir


def test_of_two_kinds_the_higher_threshold_holds() -> None:
    wide, high = searches(1_000, stretch=1.5), searches(1_000, shift=0.1, seed=1)
    both = SelfCalibration.of_searches(PRIOR, [wide, high])
    each = [thresholds(SelfCalibration.of_searches(PRIOR, [one])) for one in (wide, high)]
    np.testing.assert_array_equal(thresholds(both), np.maximum(*each))


def test_no_threshold_is_above_the_highest_cosine() -> None:
    calibration = SelfCalibration.of_searches(PRIOR, [searches(1_000, shift=0.8)])
    assert calibration.threshold(max_fpir=1e-6, comparisons=1e6) == 1


def test_an_empty_gallery_counts_as_one_comparison() -> None:
    calibration = SelfCalibration.of_searches(PRIOR, [searches(500)])
    alone = calibration.threshold(max_fpir=0.01, comparisons=1)
    assert calibration.threshold(max_fpir=0.01, comparisons=0) == alone


def test_the_gap_is_the_collection_s_own_where_it_has_many() -> None:
    many = searches(20_000)
    own = float(np.quantile(many.gaps, 0.9))
    calibration = SelfCalibration.of_searches(PRIOR, [many])
    assert calibration.gap == pytest.approx(own, rel=0.01)
    some = searches(GAP_SEARCHES_FOR_HALF)
    middle = (float(np.quantile(some.gaps, 0.9)) + PRIOR.gap) / 2
    assert SelfCalibration.of_searches(PRIOR, [some]).gap == pytest.approx(middle)


def test_probability_goes_by_the_margin_over_the_present_threshold() -> None:
    calibration = SelfCalibration.of_searches(PRIOR, [searches(500)])
    for comparisons in (50.0, 5_000.0):
        threshold = calibration.threshold(max_fpir=0.01, comparisons=comparisons)
        found = calibration.probability(
            score=threshold + 0.05,
            gap=0.1,
            several_samples=True,
            quality=0.9,
            comparisons=comparisons,
        )
        rows = feature_rows(*(np.array([value]) for value in (0.05, 0.1, True, 0.9)))
        assert found == pytest.approx(float(PRIOR.probability.of(rows)[0]))


def test_a_gallery_calibrates_itself_and_the_same_one_does_it_alike() -> None:
    rng = np.random.default_rng(0)
    gallery = gallery_of(
        {UUID(int=number): small_stores.unit_rows(rng, 2, DIMENSION) for number in range(150)}
    )
    first, second = (SelfCalibration.of(PRIOR, gallery) for _ in range(2))
    np.testing.assert_array_equal(thresholds(first), thresholds(second))
    # In 16 dimensions strangers are more alike than to the prior.
    probes = small_stores.unit_rows(rng, 2_000, DIMENSION)
    found = gallery.search(probes, np.ones(len(probes), np.float32), 1)
    best = np.array([each.candidates[0].score for each in found])
    passed, by_prior = (
        np.mean(best >= each.threshold(max_fpir=0.1, comparisons=gallery.comparisons))
        for each in (first, PRIOR)
    )
    assert passed < 0.2
    assert by_prior > 0.9


def test_a_bundle_s_probability_is_taken_where_it_has_one(tmp_path: Path) -> None:
    drawn = draw(tmp_path, np.random.default_rng(1))
    gallery = gallery_of(drawn.subjects, drawn.trained)
    calibration = SelfCalibration.of(PRIOR, gallery)
    assert calibration.curve == PRIOR.probability
    assert len(calibration.own) == 2
    fitted = Probability(0.5, (1.0, 2.0, 3.0, 4.0))
    told = gallery_of(drawn.subjects, replace(drawn.trained, probability=fitted))
    assert SelfCalibration.of(PRIOR, told).curve == fitted


def test_of_the_shipped_prior_a_probability_falls_from_match_to_stranger() -> None:
    prior = Calibration.of(read_manifest(DEFAULT_EMBEDDER))
    calibration = SelfCalibration.of_searches(prior, [])
    threshold = calibration.threshold(max_fpir=0.01, comparisons=100)

    def probability(score: float, gap: float) -> float:
        return calibration.probability(
            score=score, gap=gap, several_samples=False, quality=1.0, comparisons=100
        )

    assert probability(threshold + 0.2, 0.3) > 0.95
    assert probability(threshold - 0.15, 0.03) < 0.1
    assert probability(threshold, 0.2) > probability(threshold, 0.02)
    assert 0.03 < calibration.gap < 0.2
