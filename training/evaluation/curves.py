"""What is drawn: score distributions, DET curves, and the map of class means."""

from typing import Any

import numpy as np

from models.arrays import Floats
from training.evaluation.strangers import OpenSearches

BINS = 60
CURVE_POINTS = 60
MAP_POINTS = 6_000


def distribution(one: OpenSearches, threshold: float) -> dict[str, Any]:
    """Histograms of the mates' scores and of strangers' best ones, with a threshold."""
    mates = one.mated.mate_scores[np.isfinite(one.mated.mate_scores)]
    both = np.concatenate([mates, one.strangers.scores])
    edges = np.linspace(float(both.min()), float(both.max()), BINS + 1)
    return {
        "probes": one.probes,
        "scenario": one.scenario,
        "edges": edges.round(5).tolist(),
        "mated": np.histogram(mates, edges)[0].tolist(),
        "non_mated": np.histogram(one.strangers.scores, edges)[0].tolist(),
        "threshold": threshold,
    }


def det_curve(one: OpenSearches) -> dict[str, Any]:
    """FNIR against FPIR, from one stranger named to half of them; empty with fewer than two."""
    count = len(one.strangers.scores)
    most = np.geomspace(1, count // 2, CURVE_POINTS) if count > 1 else np.empty(0)
    named = np.unique(most.astype(np.int64))
    fpirs = named / count
    highest = np.sort(one.strangers.scores)[::-1]
    fnirs = [one.fnir_at(float(np.nextafter(highest[passed], np.inf))) for passed in named]
    return {
        "probes": one.probes,
        "scenario": one.scenario,
        "fpir": fpirs.round(6).tolist(),
        "fnir": fnirs,
    }


def map_of(class_means: Floats, clusters: Any, *, seed: int) -> dict[str, Any]:
    """Class means on their two principal axes, `MAP_POINTS` of them at most.

    Args:
        class_means: (N, d) unit rows.
        clusters: (N,) cluster of each.
        seed: of which are shown.
    """
    chosen = np.arange(len(class_means))
    if len(chosen) > MAP_POINTS:
        chosen = np.sort(np.random.default_rng(seed).permutation(chosen)[:MAP_POINTS])
    rows = class_means[chosen].astype(np.float64)
    rows -= rows.mean(axis=0)
    values, axes = np.linalg.eigh(rows.T @ rows)
    # An axis may point either way; its largest entry is made to point up.
    two = axes[:, :-3:-1]
    two = two * np.sign(two[np.abs(two).argmax(axis=0), [0, 1]])
    places = rows @ two
    return {
        "x": places[:, 0].round(4).tolist(),
        "y": places[:, 1].round(4).tolist(),
        "cluster": np.asarray(clusters)[chosen].tolist(),
        "explained": (values[:-3:-1] / values.sum()).round(4).tolist(),
    }
