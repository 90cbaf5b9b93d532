"""How often a decision would be wrong, by the evidence."""

from dataclasses import dataclass

import numpy as np

from models.arrays import Floats
from models.fusion import Fusion
from training.calibration.evidence import Evidence
from training.evaluation.open_set import threshold_at_fpir

TARGET_FPIR = 0.01
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


def top_without(evidence: Evidence, fusion: Fusion) -> Floats:
    """(n,) best score of each search without the mate; -1 where nobody was searched."""
    best: Floats = np.maximum(evidence.scores_without(fusion).max(axis=1), -1)
    return best


def errors_of(evidence: Evidence, fusion: Fusion) -> Errors:
    """Errors of the evidence's searches, the threshold being that of its non-mated ones."""
    scores = evidence.scores(fusion)
    misnamed = scores[:, 0] <= scores[:, 1:].max(axis=1)
    non_mated = top_without(evidence, fusion).astype(np.float64)
    threshold = threshold_at_fpir(non_mated, TARGET_FPIR)
    missed = misnamed | (scores[:, 0] < threshold)
    return Errors(float(misnamed.mean()), float(missed.mean()))
