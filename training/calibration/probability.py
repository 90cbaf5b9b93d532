"""Fits the probability that the first candidate is the mate, by logistic regression."""

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.fusion import Fusion
from models.probability import Probability, feature_rows, logistic
from training.calibration.evidence import Evidence

RIDGE = 1e-6
"""Of the squared coefficients, so that a perfect separation keeps them finite. The coefficient of
the margin is about 25 on faces: 1e-3 would already halve it."""
STEPS = 50
BINS = 10


def fit(features: NDArray[np.float64], right: NDArray[np.bool_]) -> Probability:
    """Fit by Newton's method.

    With as many mated as non-mated searches, p answers for a probe that is as likely enrolled
    as not.

    Args:
        features: (n, F).
        right: (n,) whether the first candidate is the mate.
    """
    inputs = np.hstack([np.ones((len(features), 1)), features])
    weights = np.full(len(features), 1 / len(features))
    penalty = np.diag([0.0] + [RIDGE] * features.shape[1])
    coefficients = np.zeros(inputs.shape[1])
    for _ in range(STEPS):
        predicted = logistic(inputs @ coefficients)
        gradient = inputs.T @ (weights * (predicted - right)) + penalty @ coefficients
        curvature = weights * np.maximum(predicted * (1 - predicted), 1e-9)
        hessian = (inputs * curvature[:, None]).T @ inputs + penalty
        step = np.linalg.solve(hessian + 1e-9 * np.eye(len(hessian)), gradient)
        # A full step may overshoot where the classes are nearly separated.
        coefficients -= step * min(1.0, 5.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    intercept, *rest = coefficients.tolist()
    return Probability(round(intercept, 6), tuple(round(value, 6) for value in rest))


def search_features(
    evidence: Evidence, fusion: Fusion, threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Features of each probe's mated search, then of each one's search without the mate.

    Args:
        evidence: of n probes with at least three candidates.
        fusion: that scores them.
        threshold: over which the margin is, that at `MARGIN_FPIR` among these classes.

    Returns:
        (2n, F) and (2n,) whether the first candidate is the mate.
    """
    mated, without = evidence.scores(fusion), evidence.scores_without(fusion)
    first = (mated.argmax(axis=1) == 0) & np.isfinite(mated[:, 0])
    right = np.concatenate([first, np.zeros(len(evidence), np.bool_)])
    features = [_features(scores, evidence, threshold) for scores in (mated, without)]
    return np.concatenate(features), right


def reliability(predicted: NDArray[np.float64], right: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Mean probability against the share that was right, in `BINS` of equal width."""
    bins = np.minimum((predicted * BINS).astype(int), BINS - 1)
    return [
        {
            "predicted": float(predicted[bins == number].mean()),
            "observed": float(right[bins == number].mean()),
            "count": int((bins == number).sum()),
        }
        for number in range(BINS)
        if (bins == number).any()
    ]


def _features(scores: Floats, evidence: Evidence, threshold: float) -> NDArray[np.float64]:
    # Who was not searched is as little alike as can be.
    two = np.maximum(np.partition(scores, -2, axis=1)[:, -2:], -1).astype(np.float64)
    best = scores.argmax(axis=1)
    several = evidence.sample_counts[np.arange(len(best)), best] > 1
    return feature_rows(two[:, 1] - threshold, two[:, 1] - two[:, 0], several, evidence.quality)
