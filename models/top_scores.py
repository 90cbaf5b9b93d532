"""The best scores of a gallery's non-mated searches, and the thresholds that follow from them."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.tails import fit_generalised_pareto

TAIL_SHARE = 0.15
"""Of the non-mated searches: the tail is fitted to their scores. The share of the trials behind
`docs/decisions`, where thresholds from it were met within a fifth by strangers."""
FEWEST_SEARCHES = 100
"""Below, the tail has fewer than fifteen scores to be fitted to."""


@dataclass(frozen=True)
class TopScores:
    """Distribution of the best scores of non-mated searches that make N comparisons each.

    The body is empirical, the tail a generalised Pareto distribution. Where a search makes n
    comparisons, FPIR(T, n) = 1 - (1 - FPIR(T, N))^(n / N).
    """

    comparisons: float
    """N: as many as there are subjects, or as `Gallery.comparisons` counts them."""
    body: NDArray[np.float64]
    """(b,) ascending scores up to where the tail begins."""
    start: float
    """Score at which the tail begins; a share `TAIL_SHARE` of the searches reaches it."""
    shape: float
    scale: float

    @classmethod
    def of(cls, top_scores: NDArray[np.floating[Any]], comparisons: float) -> Self | None:
        """Fit to the best score of each search.

        Args:
            top_scores: (n,)
            comparisons: N, that each of them made.

        Returns:
            None where n is below `FEWEST_SEARCHES`, or the highest scores are all the same.
        """
        if len(top_scores) < FEWEST_SEARCHES:
            return None
        scores = np.sort(top_scores.astype(np.float64))
        start = float(np.quantile(scores, 1 - TAIL_SHARE))
        excesses = scores[scores > start] - start
        if len(excesses) < 2:
            return None
        shape, scale = fit_generalised_pareto(excesses)
        return cls(comparisons, scores[scores <= start], start, shape, scale)

    def to_json(self) -> dict[str, float]:
        """The fitted tail, in JSON's types."""
        return {
            "comparisons": self.comparisons,
            "tail_share": TAIL_SHARE,
            "start": self.start,
            "shape": self.shape,
            "scale": self.scale,
        }

    def threshold(self, fpir: float, *, comparisons: float | None = None) -> float:
        """Score that a share `fpir` of strangers reaches; at most 1.

        Args:
            fpir: target in (0, 1).
            comparisons: n of the gallery, above 0; N if None.
        """
        times = 1.0 if comparisons is None else comparisons / self.comparisons
        here = -np.expm1(np.log1p(-fpir) / times)
        if here >= TAIL_SHARE:
            return float(np.quantile(self.body, (1 - here) / (1 - TAIL_SHARE)))
        ratio = TAIL_SHARE / here
        excess = np.log(ratio) if abs(self.shape) < 1e-9 else (ratio**self.shape - 1) / self.shape
        return min(float(self.start + self.scale * excess), 1.0)
