"""How often a decision would be wrong, by the evidence."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.arrays import Floats
from models.fusion import Fusion
from models.probability import MARGIN_FPIR
from training.calibration.evidence import Evidence
from training.searching.open_set import threshold_at_fpir

WHOLE = "whole"
CLASS_MEAN_ALONE = Fusion(1.0, np.tile(np.array([0, 1, 0], np.float32), (2, 2, 1)))
TARGET_FPIR = MARGIN_FPIR
"""Share of strangers named at which weights are compared: the service's default."""


@dataclass(frozen=True)
class Errors:
    """Shares of mated searches that go wrong, in [0, 1]; lower is better."""

    misnamed: float
    """Somebody else comes first: 1 - rank-1."""
    missed: float
    """FNIR at `TARGET_FPIR`: misnamed, or below the threshold."""

    @property
    def total(self) -> float:
        return self.misnamed + self.missed

    def no_worse_than(self, other: "Errors") -> bool:
        return self.misnamed <= other.misnamed and self.missed <= other.missed


def top_without(evidence: Evidence, fusion: Fusion) -> Floats:
    """(n,) best score of each search without the mate; -1 where nobody was searched."""
    best: Floats = np.maximum(evidence.scores_without(fusion).max(axis=1), -1)
    return best


def errors_of(evidence: Evidence, fusion: Fusion, *, threshold: float | None = None) -> Errors:
    """Errors of the evidence's searches.

    Args:
        evidence: of n probes.
        fusion: that scores them.
        threshold: that of the evidence's own non-mated searches if None.
    """
    scores = evidence.scores(fusion)
    misnamed = scores[:, 0] <= scores[:, 1:].max(axis=1)
    least = own_threshold(evidence, fusion) if threshold is None else threshold
    missed = misnamed | (scores[:, 0] < least)
    return Errors(float(misnamed.mean()), float(missed.mean()))


def own_threshold(evidence: Evidence, fusion: Fusion) -> float:
    """Score that `TARGET_FPIR` of the searches without the mate pass."""
    return threshold_at_fpir(top_without(evidence, fusion).astype(np.float64), TARGET_FPIR)


def served_threshold(by_kind: Mapping[str, Evidence], fusion: Fusion) -> float:
    """Highest of the thresholds that the kinds of probes need."""
    return max(own_threshold(evidence, fusion) for evidence in by_kind.values())


def served_errors(by_kind: Mapping[str, Evidence], fusion: Fusion) -> dict[str, Errors]:
    """Errors at one threshold, the highest that any kind of probe needs.

    Returns:
        By kind, and of all probes together as `WHOLE`.
    """
    threshold = served_threshold(by_kind, fusion)
    parts = {**by_kind, WHOLE: Evidence.joined(list(by_kind.values()))}
    return {
        name: errors_of(evidence, fusion, threshold=threshold) for name, evidence in parts.items()
    }


def class_mean_errors(by_kind: Mapping[str, Evidence]) -> dict[str, Errors]:
    """As `served_errors`, of a search by class mean, which looks at all clusters."""
    everywhere = {name: evidence.everywhere() for name, evidence in by_kind.items()}
    return served_errors(everywhere, CLASS_MEAN_ALONE)
