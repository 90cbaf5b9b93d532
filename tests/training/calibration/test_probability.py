from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models.fusion import Fusion
from models.probability import MOST_GAP
from tests.training.calibration.made_up_evidence import made_up_evidence
from training.calibration.evidence import Evidence
from training.calibration.probability import BINS, fit, reliability, search_features

INTERCEPT = 0.0
COEFFICIENTS = np.array([18.0, 6.0, 0.7, 1.5])


def drawn(count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Features, and answers that are right as often as a known logistic function says."""
    rng = np.random.default_rng(seed)
    features = np.stack(
        [
            rng.normal(-0.1, 0.15, count),
            rng.exponential(0.1, count),
            rng.integers(0, 2, count),
            rng.random(count),
        ],
        axis=1,
    )
    true = 1 / (1 + np.exp(-(INTERCEPT + features @ COEFFICIENTS)))
    return features, np.asarray(rng.random(count) < true)


def test_known_coefficients_are_found_again() -> None:
    features, right = drawn(60_000, 0)
    found = fit(features, right)
    assert found.coefficients == pytest.approx(tuple(COEFFICIENTS), rel=0.05, abs=0.15)
    assert found.intercept == pytest.approx(INTERCEPT, abs=0.3)


def test_it_is_where_the_likelihood_is_highest() -> None:
    features, right = drawn(2_000, 1)
    found = fit(features, right)

    def loss(intercept: float, coefficients: NDArray[np.float64]) -> float:
        logits = intercept + features @ coefficients
        return float(np.logaddexp(0, np.where(right, -logits, logits)).mean())

    least = loss(found.intercept, np.array(found.coefficients))
    for number in range(5):
        for step in (-0.5, 0.5):
            moved = np.array([found.intercept, *found.coefficients])
            moved[number] += step
            assert loss(moved[0], moved[1:]) > least


def test_predictions_come_true_on_new_draws() -> None:
    probability = fit(*drawn(40_000, 2))
    features, right = drawn(80_000, 3)
    table = reliability(probability.of(features), right)
    assert len(table) == BINS
    assert sum(row["count"] for row in table) == 80_000
    for row in table:
        assert row["observed"] == pytest.approx(row["predicted"], abs=0.04)


def test_perfect_separation_stays_finite() -> None:
    right = np.arange(200) < 100
    features = np.stack([np.where(right, 0.8, 0.2)] * 4, axis=1)
    found = fit(features, right)
    assert np.isfinite([found.intercept, *found.coefficients]).all()
    assert (found.of(features)[right] > 0.99).all()
    assert (found.of(features)[~right] < 0.01).all()


def test_a_feature_that_never_changes_is_no_matter() -> None:
    features, right = drawn(5_000, 4)
    features[:, 3] = 1.0
    found = fit(features, right)
    assert found.coefficients[:2] == pytest.approx(tuple(COEFFICIENTS[:2]), rel=0.2)


def test_reliability_counts_bin_by_bin() -> None:
    predicted = np.array([0.0, 0.05, 0.1, 0.31, 0.39, 1.0])
    right = np.array([False, True, False, True, True, True])
    assert reliability(predicted, right) == [
        {"predicted": pytest.approx(0.025), "observed": 0.5, "count": 2},
        {"predicted": pytest.approx(0.1), "observed": 0.0, "count": 1},
        {"predicted": pytest.approx(0.35), "observed": 1.0, "count": 2},
        {"predicted": 1.0, "observed": 1.0, "count": 1},
    ]


def by_hand() -> Evidence:
    """Two probes with three candidates, whose class means alone count."""
    cosines = np.zeros((2, 3, 3), np.float32)
    cosines[:, :, 1] = [[0.8, 0.3, 0.1], [0.4, 0.5, 0.45]]
    inf = np.inf
    return Evidence(
        cosines=cosines,
        share_before=np.array([[0, 0, 0], [0, 0, inf]], np.float32),
        share_before_without=np.array([[inf, 0, inf], [0.2, 0, 0]], np.float32),
        ahead=np.zeros((2, 3), np.float32),
        sample_counts=np.array([[1, 3, 1], [2, 1, 4]]),
        quality=np.array([0.75, 0.25], np.float32),
    )


def test_features_by_hand() -> None:
    class_mean = Fusion(0.5, np.tile(np.array([0, 1, 0], np.float32), (2, 2, 1)))
    features, right = search_features(by_hand(), class_mean, 0.45)
    assert right.tolist() == [True, False, False, False]
    np.testing.assert_allclose(
        features,
        [
            [0.35, MOST_GAP, 0, 0.75],
            [0.05, 0.1, 0, 0.25],
            # A runner-up who was not searched is as far behind as can be.
            [-0.15, MOST_GAP, 1, 0.75],
            [0.05, 0.05, 0, 0.25],
        ],
        atol=1e-6,
    )


def test_mates_that_stand_out_are_believed() -> None:
    class_mean = Fusion(0.0, np.tile(np.array([0, 1, 0], np.float32), (2, 2, 1)))
    evidence = made_up_evidence(2_000, class_mean=(0.6, 0.2), spread=0.08)
    features, right = search_features(evidence, class_mean, 0.4)
    assert len(features) == len(right) == 4_000
    assert not right[2_000:].any()
    predicted = fit(features, right).of(features)
    assert predicted[:2_000].mean() > 0.85
    assert predicted[2_000:].mean() < 0.15
    same = search_features(replace(evidence, cosines=evidence.cosines.copy()), class_mean, 0.4)
    np.testing.assert_array_equal(same[0], features)
