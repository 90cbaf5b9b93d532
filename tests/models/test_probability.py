import json
from typing import Any

import numpy as np
import pytest

from models.probability import FEATURES, MOST_GAP, Probability, feature_rows, logistic

PROBABILITY = Probability(-0.5, (20.0, 6.0, 0.5, -1.0))


def test_it_is_the_logistic_function_of_the_features() -> None:
    features = np.array([[0.1, 0.2, 1, 0.9], [-0.1, 0.0, 0, 0.2]])
    slow = [
        1 / (1 + np.exp(-(-0.5 + 20 * m + 6 * g + 0.5 * s - 1.0 * q))) for m, g, s, q in features
    ]
    np.testing.assert_allclose(PROBABILITY.of(features), slow)


def test_far_off_values_do_not_overflow() -> None:
    np.testing.assert_allclose(logistic(np.array([-1e6, 0, 1e6])), [0, 0.5, 1], atol=1e-20)


def test_features_stand_in_their_order_and_a_large_gap_is_cut() -> None:
    rows = feature_rows(
        np.array([0.1, -0.2], np.float32),
        np.array([0.05, 1.4], np.float32),
        np.array([True, False]),
        np.array([0.9, 0.3], np.float32),
    )
    assert FEATURES == ("margin", "gap", "several_samples", "quality")
    np.testing.assert_allclose(rows, [[0.1, 0.05, 1, 0.9], [-0.2, MOST_GAP, 0, 0.3]], rtol=1e-6)


def test_json_and_back() -> None:
    told = json.loads(json.dumps(PROBABILITY.to_json()))
    assert Probability.of_json(told) == PROBABILITY


@pytest.mark.parametrize(
    "change",
    [
        {"features": ["score", "gap", "several_samples", "quality"]},
        {"features": None},
        {"coefficients": [1.0]},
        {"intercept": "high"},
    ],
)
def test_what_was_fitted_to_something_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"probability|could not convert"):
        Probability.of_json(PROBABILITY.to_json() | change)
