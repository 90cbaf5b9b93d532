"""Accuracy of identification, from predicted and true classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.int32]


@dataclass(frozen=True)
class Identification:
    """Accuracy of searches for enrolled subjects; each in [0, 1], higher is better."""

    precision: float
    recall: float
    f1: float
    rank1: float


def identification(predicted: Classes, true: Classes) -> Identification:
    """Macro precision, recall and F1 over the classes that were searched for, and rank-1.

    Each such class weighs the same, however many probes it has; one that was never named has a
    precision of 0. F1 is the mean of the classes' own, as in the paper, not made of the two means.

    Args:
        predicted: (n,) class that each probe was given.
        true: (n,) its own; n at least 1.
    """
    tested, own, probes = np.unique(true, return_inverse=True, return_counts=True)
    right = predicted == true
    hits = np.bincount(own[right], minlength=len(tested))
    named = np.bincount(
        np.searchsorted(tested, predicted[np.isin(predicted, tested)]), minlength=len(tested)
    )
    return Identification(
        precision=float((hits / np.maximum(named, 1)).mean()),
        recall=float((hits / probes).mean()),
        f1=float((2 * hits / (probes + named)).mean()),
        rank1=float(right.mean()),
    )


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean and standard deviation of repetitions, None for the latter where there is only one."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": deviation, "values": list(values)}


def paired_p_value(differences: Sequence[float]) -> float | None:
    """P-value of the two-sided paired t-test that the differences are 0 in the mean.

    None where it has no meaning: fewer than two repetitions, or all differences the same. The
    repetitions draw from the same pictures, so it is too small rather than too large.
    """
    from scipy import stats

    if len(differences) < 2 or np.ptp(differences) == 0:
        return None
    return float(stats.ttest_1samp(differences, 0.0).pvalue)
