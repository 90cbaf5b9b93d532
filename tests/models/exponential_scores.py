"""Strangers whose scores are exponential, so that every FPIR is known exactly."""

import numpy as np
from numpy.typing import NDArray

COMPARISONS, SCALE = 500, 0.03


def top_scores(
    searches: int, *, comparisons: float = COMPARISONS, seed: int = 0
) -> NDArray[np.float64]:
    """Best of so many scores, of each of so many searches."""
    uniform = np.random.default_rng(seed).random(searches)
    drawn: NDArray[np.float64] = -SCALE * np.log1p(-(uniform ** (1 / comparisons)))
    return drawn


def true_fpir(threshold: float, comparisons: float) -> float:
    """Share of such searches that reach a threshold."""
    return float(-np.expm1(comparisons * np.log1p(-np.exp(-threshold / SCALE))))
