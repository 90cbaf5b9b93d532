"""Accuracy of verification, from scores; and how waits are spread."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def ten_fold_accuracy(
    scores: Scores, mated: NDArray[np.bool_], folds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Accuracy on each fold at the threshold that is best on the other folds.

    Args:
        scores: (P,) cosines; -inf where a picture had no face.
        mated: (P,) whether both pictures are of one person.
        folds: (P,) which fold a pair is in.
    """
    candidates = np.unique(scores[np.isfinite(scores)])
    accuracies = []
    for fold in np.unique(folds):
        others = folds != fold
        same = np.sort(scores[others & mated])
        different = np.sort(scores[others & ~mated])
        right = (
            len(same)
            - np.searchsorted(same, candidates, side="left")
            + np.searchsorted(different, candidates, side="left")
        )
        threshold = candidates[int(np.argmax(right))]
        held_out = folds == fold
        accuracies.append(np.mean((scores[held_out] >= threshold) == mated[held_out]))
    return np.array(accuracies)


def auc(scores: Scores, mated: NDArray[np.bool_]) -> float:
    """Share of (mated, non-mated) couples of pairs in which the mated pair scores higher."""
    order = np.sort(scores[~mated])
    below = np.searchsorted(order, scores[mated], side="left")
    at_most = np.searchsorted(order, scores[mated], side="right")
    return float((below + at_most).mean() / (2 * len(order)))


def in_percentiles(what: str, milliseconds: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile as figures, `what` in front of their names."""
    return {
        f"{what}_p50_ms": float(np.percentile(milliseconds, 50)),
        f"{what}_p99_ms": float(np.percentile(milliseconds, 99)),
    }
