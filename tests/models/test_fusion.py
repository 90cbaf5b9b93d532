import json
from typing import Any

import numpy as np
import pytest

from models.arrays import Floats
from models.fusion import POOR_QUALITY, UNTRAINED, Fusion


def any_weights(seed: int) -> Floats:
    """(2, 2, 3), all of them different, that sum to 1."""
    weights: Floats = np.random.default_rng(seed).dirichlet([1, 1, 1], (2, 2)).astype(np.float32)
    return weights


@pytest.mark.parametrize("each_probe_has_its_own", [True, False])
def test_scores_agree_with_one_candidate_at_a_time(each_probe_has_its_own: bool) -> None:
    rng = np.random.default_rng(0)
    fusion = Fusion(0.9, any_weights(1))
    cosines = rng.uniform(-1, 1, (30, 7, 3)).astype(np.float32)
    cosines[rng.random((30, 7)) < 0.3, 0] = -np.inf
    cosines[4, 2] = -np.inf
    sample_counts = rng.integers(1, 4, (30, 7) if each_probe_has_its_own else 7)
    quality = rng.random(30).astype(np.float32)
    quality[:2] = POOR_QUALITY, np.nextafter(np.float32(POOR_QUALITY), np.float32(0))
    scores = fusion.scores(cosines, sample_counts, quality)
    assert scores.dtype == np.float32
    counts = np.broadcast_to(sample_counts, (30, 7))
    for probe in range(30):
        for candidate in range(7):
            poor, several = int(quality[probe] < 0.5), int(counts[probe, candidate] > 1)
            weights = fusion.weights[poor, several]
            parts = cosines[probe, candidate]
            slow = -np.inf
            if parts[0] > -np.inf:
                slow = sum(float(w) * float(part) for w, part in zip(weights, parts, strict=True))
            assert scores[probe, candidate] == pytest.approx(slow, abs=1e-6)


def test_who_is_not_searched_has_no_score_even_if_the_subnet_weighs_nothing() -> None:
    cosines = np.array([[[-np.inf, 0.4, 0.6], [0.1, 0.4, 0.6]]], np.float32)
    scores = UNTRAINED.scores(cosines, np.array([1, 1]), np.ones(1, np.float32))
    np.testing.assert_allclose(scores, [[-np.inf, 0.5]])


def test_nothing_to_score_gives_nothing() -> None:
    scores = UNTRAINED.scores(
        np.empty((0, 5, 3), np.float32), np.ones(5, np.int64), np.empty(0, np.float32)
    )
    assert scores.shape == (0, 5)


def test_json_keeps_every_bit() -> None:
    fusion = Fusion(0.95, any_weights(2))
    again = Fusion.of_json(json.loads(json.dumps(fusion.to_json(), allow_nan=False)))
    assert again.needed_share == fusion.needed_share
    assert again.weights.dtype == np.float32
    np.testing.assert_array_equal(again.weights, fusion.weights)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([[0.2, 0.3, 0.5]], "shape"),
        ([[[0.5, 0.5]] * 2] * 2, "shape"),
        ([[[-0.1, 0.6, 0.5]] * 2] * 2, "below 0"),
        ([[[0.3, 0.3, 0.3]] * 2] * 2, "sum to 1"),
        ([[[float("nan"), 0.5, 0.5]] * 2] * 2, "sum to 1"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fusion.of_json({"needed_share": 0.5, "weights": weights})
