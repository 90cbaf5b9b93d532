"""All of a bundle's calibration, from its validation probes."""

from typing import Any

import numpy as np

from models.fusion import POOR_QUALITY, UNTRAINED, Fusion
from models.top_scores import FEWEST_SEARCHES, TopScores
from training.calibration.errors import (
    class_mean_errors,
    served_errors,
    served_threshold,
    top_without,
)
from training.calibration.evidence import Evidence
from training.calibration.probability import fit, reliability, search_features
from training.calibration.thresholds import threshold_table
from training.calibration.weights import calibrate_weights
from training.calibration.width import calibrate_needed_share, width_of
from training.searching.probes import Probes
from training.searching.search import Enrolled, Nets
from training.split import Split
from training.stores.format import Kind
from training.stores.store import EmbeddingStore

FEWEST_OTHERS = 2
"""A search without the mate must have a candidate and a runner-up."""


def calibrate(
    store: EmbeddingStore, split: Split, enrolled: Enrolled, nets: Nets
) -> dict[str, Any]:
    """Decide how many clusters are searched, how scores are joined and where thresholds lie.

    Mated searches are the validation's originals and degraded copies; leaving out the mate makes
    non-mated ones of them. Thresholds are those of whichever of the two needs higher ones. Where
    too little is held out, the enrolled samples themselves are searched among everybody else, and
    the weights are `UNTRAINED`.

    Args:
        store: of the templates.
        split: of its rows.
        enrolled: N classes.
        nets: their subnets.

    Returns:
        In JSON's types; `models/fusion.py` reads `fusion`. `tails` and `thresholds` are empty
        where there is nothing to fit them to: too few searches, or all alike.
    """
    own = np.isin(store.labels, enrolled.classes)
    others = len(enrolled.classes) - 1
    if others < FEWEST_OTHERS:
        return _document(UNTRAINED, {}, others)
    good = Probes.of(store, own & split.validation & store.originals, enrolled)
    if len(good) < FEWEST_SEARCHES:
        samples = Probes.of(store, own & split.training & store.originals, enrolled)
        # Each is among the samples of its own class, which does not count once that is left out.
        return _document(UNTRAINED, {"clean": Evidence.of(enrolled, nets, samples)}, others)
    poor = Probes.of(store, own & split.validation & (store.kinds == Kind.DEGRADED), enrolled)
    by_kind = {
        name: Evidence.of(enrolled, nets, probes)
        for name, probes in (("clean", good), ("degraded", poor))
        if len(probes)
    }
    every = Evidence.joined(list(by_kind.values()))
    fusion = calibrate_weights(by_kind, calibrate_needed_share(every))
    return _document(fusion, by_kind, others) | _checked(fusion, every, by_kind)


def _document(fusion: Fusion, by_kind: dict[str, Evidence], subjects: int) -> dict[str, Any]:
    """The part that needs non-mated searches alone, each of them among so many subjects."""
    fitted = {
        name: TopScores.of(top_without(part, fusion), subjects) for name, part in by_kind.items()
    }
    tops = {name: top for name, top in fitted.items() if top is not None}
    return {
        "fusion": fusion.to_json(),
        "poor_quality_below": POOR_QUALITY,
        "tails": {name: top.to_json() for name, top in tops.items()},
        "thresholds": threshold_table(list(tops.values())) if tops else [],
        "probability": None,
        "reliability": [],
        "validation": {},
    }


def _checked(fusion: Fusion, every: Evidence, by_kind: dict[str, Evidence]) -> dict[str, Any]:
    """The part that needs mated searches too."""
    features, right = search_features(every, fusion, served_threshold(by_kind, fusion))
    probability = fit(features, right)
    errors, alone = served_errors(by_kind, fusion), class_mean_errors(by_kind)
    return {
        "probability": probability.to_json(),
        "reliability": reliability(probability.of(features), right),
        "validation": {
            name: {
                "probes": len(part),
                **vars(errors[name]),
                "by_class_mean": vars(alone[name]),
                **width_of(part, fusion.needed_share),
            }
            for name, part in by_kind.items()
        },
    }
