"""Rejection of strangers: thresholds from non-mated searches, and what they cost mated ones."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def threshold_at_fpir(non_mated_top: Scores, fpir: float) -> float:
    """Lowest threshold at which at most a share `fpir` of non-mated searches returns anybody.

    Args:
        non_mated_top: (M,) the best candidate's score of each non-mated search.
        fpir: in (0, 1).
    """
    # Rounding must not turn one in 49 of 49 into none.
    allowed = int(np.floor(fpir * len(non_mated_top) + 1e-9))
    return float(np.nextafter(np.sort(non_mated_top)[::-1][allowed], np.inf))


def fnir(mate_scores: Scores, mate_ranks: NDArray[np.int64], threshold: float) -> float:
    """FNIR(N, R = 1, T): share of mated searches that do not put the mate first at or above T.

    Args:
        mate_scores: (M,) score of the mate; -inf where it was not listed.
        mate_ranks: (M,) rank of the mate from 1; 0 where it was not listed.
        threshold: T.
    """
    return float(np.mean((mate_ranks != 1) | (mate_scores < threshold)))
