import json

import numpy as np
import pytest

from models.arrays import Floats
from tests.training.small_stores import unit_rows
from training.evaluation.curves import (
    BINS,
    CURVE_POINTS,
    MAP_POINTS,
    det_curve,
    distribution,
    map_of,
)
from training.evaluation.strangers import OpenSearches
from training.searching.search import Searches

pytestmark = pytest.mark.torch


def searched(mated: int, strangers: int) -> OpenSearches:
    """Mates around 0.6 of whom a tenth is not searched, strangers around 0.3."""
    rng = np.random.default_rng(0)
    mates = rng.normal(0.6, 0.1, mated).astype(np.float32)
    mates[::10] = -np.inf
    best = np.where(mates > 0.45, 3, 2).astype(np.int32)
    own = Searches(best, np.maximum(mates, np.float32(0.4)), mates)
    top = rng.normal(0.3, 0.1, strangers).astype(np.float32)
    nobody = np.full(strangers, -np.inf, np.float32)
    others = Searches(np.zeros(strangers, np.int32), top, nobody)
    return OpenSearches("clean", "fused", own, np.full(mated, 3, np.int32), others)


def test_a_distribution_counts_everybody_who_has_a_score() -> None:
    one = searched(500, 800)
    drawn = distribution(one, 0.42)
    edges = drawn["edges"]
    assert len(edges) == BINS + 1
    assert (drawn["probes"], drawn["scenario"], drawn["threshold"]) == ("clean", "fused", 0.42)
    assert (sum(drawn["mated"]), sum(drawn["non_mated"])) == (450, 800)
    mates = one.mated.mate_scores
    above = [int((mates > edge).sum()) for edge in edges]
    for number in range(BINS):
        # Edges are told in five decimals: who is that near to one may be on its other side.
        assert drawn["mated"][number] == pytest.approx(above[number] - above[number + 1], abs=1)
    json.dumps(drawn, allow_nan=False)


def test_a_det_curve_falls_and_says_what_thresholds_give() -> None:
    one = searched(500, 1_000)
    curve = det_curve(one)
    assert 40 < len(curve["fpir"]) == len(curve["fnir"]) <= CURVE_POINTS
    assert (np.diff(curve["fpir"]) > 0).all()
    assert (np.diff(curve["fnir"]) <= 0).all()
    assert (curve["fpir"][0], curve["fpir"][-1]) == (0.001, 0.5)
    strangers = np.sort(one.strangers.scores)[::-1]
    for place, allowed in ((0, 1), (-1, 500)):
        first = (one.mated.best == 3) & (one.mated.mate_scores > strangers[allowed])
        assert curve["fnir"][place] == pytest.approx(1 - first.mean())
    # Even with half of all strangers let in, who was not searched stays unfound.
    assert curve["fnir"][-1] >= 0.1
    json.dumps(curve, allow_nan=False)


def stretched(rows: int) -> Floats:
    """Unit rows that differ most along the second of their eight axes, then along the sixth."""
    scales = np.array([0.1, 2, 0.1, 0.1, 0.1, 1, 0.1, 0.1])
    drawn = np.random.default_rng(1).standard_normal((rows, 8)) * scales
    unit: Floats = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def test_the_map_shows_the_two_axes_along_which_class_means_differ_most() -> None:
    means = stretched(300)
    clusters = np.arange(300) % 7
    shown = map_of(means, clusters, seed=0)
    centred = means - means.mean(axis=0)
    # Each points up along its own axis, whatever the solver gave.
    np.testing.assert_allclose(np.corrcoef(shown["x"], centred[:, 1])[0, 1], 1, atol=0.01)
    np.testing.assert_allclose(np.corrcoef(shown["y"], centred[:, 5])[0, 1], 1, atol=0.01)
    assert shown["cluster"] == clusters.tolist()
    spreads = centred.var(axis=0)
    assert shown["explained"] == pytest.approx((spreads[[1, 5]] / spreads.sum()).tolist(), abs=0.01)
    json.dumps(shown, allow_nan=False)


def test_the_map_does_not_turn_over() -> None:
    shown = map_of(stretched(300), np.zeros(300, np.int32), seed=0)
    turned = map_of(stretched(300)[::-1], np.zeros(300, np.int32), seed=0)
    np.testing.assert_allclose(shown["x"], turned["x"][::-1], atol=2e-4)
    np.testing.assert_allclose(shown["y"], turned["y"][::-1], atol=2e-4)


def test_of_many_classes_some_are_shown() -> None:
    means = unit_rows(np.random.default_rng(2), MAP_POINTS + 500, 4)
    clusters = np.arange(len(means))
    shown = map_of(means, clusters, seed=5)
    assert len(shown["x"]) == len(shown["y"]) == len(set(shown["cluster"])) == MAP_POINTS
    assert shown == map_of(means, clusters, seed=5)
    assert shown["cluster"] != map_of(means, clusters, seed=6)["cluster"]
