"""All of a bundle's calibration, from its validation probes."""

from typing import Any

import numpy as np

from models.fusion import POOR_QUALITY, UNTRAINED, Fusion
from training.calibration.errors import errors_of, top_without
from training.calibration.evidence import Evidence
from training.calibration.probability import Probability, reliability, search_features
from training.calibration.thresholds import FEWEST_SEARCHES, TopScores, threshold_table
from training.calibration.weights import calibrate_weights
from training.calibration.width import calibrate_needed_share
from training.evaluation.probes import Probes
from training.evaluation.search import Enrolled, Nets
from training.split import Split
from training.stores.format import Kind
from training.stores.store import EmbeddingStore


def calibrate(
    store: EmbeddingStore, split: Split, enrolled: Enrolled, nets: Nets
) -> dict[str, Any]:
    """Decide how many clusters are searched, how scores are joined and where thresholds lie.

    Mated searches are the validation's originals and degraded copies; leaving out the mate makes
    non-mated ones of them. Thresholds go by the originals alone: strangers in poor pictures score
    lower, so that they keep below the target. Where nothing is held out, the enrolled samples
    themselves are searched among everybody else, and the weights are `UNTRAINED`.

    Args:
        store: of the templates.
        split: of its rows.
        enrolled: N classes, at least 3.
        nets: their subnets.

    Returns:
        In JSON's types; `models/fusion.py` reads `fusion`.
    """
    held_out = split.validation & np.isin(store.labels, enrolled.classes)
    clean = held_out & store.originals
    if clean.sum() < FEWEST_SEARCHES:
        return _uncalibrated(store, split, enrolled, nets)
    good = _evidence(store, clean, enrolled, nets)
    poor = _evidence(store, held_out & (store.kinds == Kind.DEGRADED), enrolled, nets)
    evidence = Evidence.joined([good, poor])
    fusion = calibrate_weights(evidence, calibrate_needed_share(evidence))
    features, right = search_features(evidence, fusion)
    probability = Probability.fit(features, right)
    top = TopScores.of(top_without(good, fusion), len(enrolled.classes) - 1)
    return _document(fusion, top) | {
        "probability": {
            "intercept": probability.intercept,
            "coefficients": list(probability.coefficients),
        },
        "reliability": reliability(probability.of(features), right),
        "validation": {
            "probes": len(good),
            "degraded_probes": len(poor),
            "errors": {
                name: vars(errors_of(part, fusion))
                for name, part in (("clean", good), ("degraded", poor))
                if len(part)
            },
        },
    }


def _uncalibrated(
    store: EmbeddingStore, split: Split, enrolled: Enrolled, nets: Nets
) -> dict[str, Any]:
    evidence = _evidence(store, split.training & store.originals, enrolled, nets)
    # Each is among the samples of its own class, which does not matter once that is left out.
    top = TopScores.of(top_without(evidence, UNTRAINED), len(enrolled.classes) - 1)
    return _document(UNTRAINED, top) | {
        "probability": None,
        "reliability": [],
        "validation": {"probes": 0, "degraded_probes": 0, "errors": {}},
    }


def _evidence(
    store: EmbeddingStore, rows: np.ndarray[Any, np.dtype[np.bool_]], enrolled: Enrolled, nets: Nets
) -> Evidence:
    probes = Probes.of(store, rows & np.isin(store.labels, enrolled.classes), enrolled)
    return Evidence.of(enrolled, nets, probes)


def _document(fusion: Fusion, top: TopScores) -> dict[str, Any]:
    return {
        "fusion": fusion.to_json(),
        "poor_quality_below": POOR_QUALITY,
        "tail": {
            "subjects": top.subjects,
            "start": top.start,
            "shape": top.shape,
            "scale": top.scale,
        },
        "thresholds": threshold_table(top),
    }
