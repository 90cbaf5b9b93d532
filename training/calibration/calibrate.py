"""All of a bundle's calibration, from its validation probes."""

from typing import Any

import numpy as np

from models.fusion import POOR_QUALITY, UNTRAINED, Fusion
from training.calibration.errors import errors_of, top_without
from training.calibration.evidence import Evidence
from training.calibration.probability import (
    FEATURES,
    Probability,
    reliability,
    search_features,
)
from training.calibration.thresholds import FEWEST_SEARCHES, TopScores, threshold_table
from training.calibration.weights import calibrate_weights
from training.calibration.width import calibrate_needed_share, width_of
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
    lower, so that they keep below the target. Where too little is held out, the enrolled samples
    themselves are searched among everybody else, and the weights are `UNTRAINED`.

    Args:
        store: of the templates.
        split: of its rows.
        enrolled: N classes, at least 3.
        nets: their subnets.

    Returns:
        In JSON's types; `models/fusion.py` reads `fusion`. `tail` is None and `thresholds` are
        empty where there were fewer than `FEWEST_SEARCHES` searches to fit them to.
    """
    own = np.isin(store.labels, enrolled.classes)
    others = len(enrolled.classes) - 1
    good = Probes.of(store, own & split.validation & store.originals, enrolled)
    if len(good) < FEWEST_SEARCHES:
        samples = Probes.of(store, own & split.training & store.originals, enrolled)
        # Each is among the samples of its own class, which does not count once that is left out.
        return _document(UNTRAINED, Evidence.of(enrolled, nets, samples), others)
    poor = Probes.of(store, own & split.validation & (store.kinds == Kind.DEGRADED), enrolled)
    by_kind = {
        name: Evidence.of(enrolled, nets, probes)
        for name, probes in (("clean", good), ("degraded", poor))
        if len(probes)
    }
    every = Evidence.joined(list(by_kind.values()))
    fusion = calibrate_weights(every, calibrate_needed_share(every))
    return _document(fusion, by_kind["clean"], others) | _checked(fusion, every, by_kind)


def _document(fusion: Fusion, non_mated: Evidence, subjects: int) -> dict[str, Any]:
    """The part that needs non-mated searches alone, each of them among so many subjects."""
    document: dict[str, Any] = {
        "fusion": fusion.to_json(),
        "poor_quality_below": POOR_QUALITY,
        "tail": None,
        "thresholds": [],
        "probability": None,
        "reliability": [],
        "validation": {},
    }
    if len(non_mated) < FEWEST_SEARCHES:
        return document
    top = TopScores.of(top_without(non_mated, fusion), subjects)
    return document | {"tail": top.to_json(), "thresholds": threshold_table(top)}


def _checked(fusion: Fusion, every: Evidence, by_kind: dict[str, Evidence]) -> dict[str, Any]:
    """The part that needs mated searches too."""
    features, right = search_features(every, fusion)
    probability = Probability.fit(features, right)
    return {
        "probability": {
            "features": list(FEATURES),
            "intercept": probability.intercept,
            "coefficients": list(probability.coefficients),
        },
        "reliability": reliability(probability.of(features), right),
        "validation": {
            name: {
                "probes": len(part),
                **vars(errors_of(part, fusion)),
                **width_of(part, fusion.needed_share),
            }
            for name, part in by_kind.items()
        },
    }
