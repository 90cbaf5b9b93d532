"""Thresholds for a target FPIR, and how they move with the size of the gallery."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.tails import fit_generalised_pareto

FPIRS = (0.1, 0.01, 0.003, 0.001)
TAIL_SHARE = 0.15
"""Of the non-mated searches: the tail is fitted to their scores. The share of the trials behind
`docs/decisions`, where thresholds from it were met within a fifth by strangers."""
FEWEST_SEARCHES = 100
"""Below, the tail has fewer than fifteen scores to be fitted to."""
GROWTH = (0.25, 0.5, 1.0, 2.0, 4.0, 16.0)
"""Sizes of gallery that thresholds are told for, as multiples of the present one."""


@dataclass(frozen=True)
class TopScores:
    """Distribution of the best scores of non-mated searches in a gallery of N subjects.

    The body is empirical, the tail a generalised Pareto distribution. In a gallery of n subjects
    a search makes n / N times as many comparisons: FPIR(T, n) = 1 - (1 - FPIR(T, N))^(n / N).
    """

    subjects: int
    """N."""
    body: NDArray[np.float64]
    """(b,) ascending scores up to where the tail begins."""
    start: float
    """Score at which the tail begins; a share `TAIL_SHARE` of the searches reaches it."""
    shape: float
    scale: float

    @classmethod
    def of(cls, top_scores: NDArray[np.floating[Any]], subjects: int) -> Self | None:
        """Fit to the best score of each search.

        Args:
            top_scores: (n,)
            subjects: N, that each of them searched among.

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
        return cls(subjects, scores[scores <= start], start, shape, scale)

    def to_json(self) -> dict[str, float]:
        """The fitted tail, in JSON's types."""
        return {
            "subjects": self.subjects,
            "tail_share": TAIL_SHARE,
            "start": self.start,
            "shape": self.shape,
            "scale": self.scale,
        }

    def threshold(self, fpir: float, *, subjects: int | None = None) -> float:
        """Score that a share `fpir` of strangers reaches; at most 1.

        Args:
            fpir: target in (0, 1).
            subjects: n of the gallery; N if None.
        """
        comparisons = (subjects or self.subjects) / self.subjects
        here = -np.expm1(np.log1p(-fpir) / comparisons)
        if here >= TAIL_SHARE:
            return float(np.quantile(self.body, (1 - here) / (1 - TAIL_SHARE)))
        ratio = TAIL_SHARE / here
        excess = np.log(ratio) if abs(self.shape) < 1e-9 else (ratio**self.shape - 1) / self.shape
        return min(float(self.start + self.scale * excess), 1.0)


def threshold_table(tops: Sequence[TopScores]) -> list[dict[str, Any]]:
    """Thresholds at `FPIRS` by size of gallery, in JSON's types.

    Args:
        tops: of the same gallery, by kind of probe; the highest threshold is taken, so that no
            kind lets more strangers pass than asked for.
    """
    sizes = {times: max(1, round(times * tops[0].subjects)) for times in GROWTH}
    return [
        {
            "fpir": fpir,
            "by_gallery_size": [
                {
                    "times": times,
                    "subjects": size,
                    "threshold": round(max(top.threshold(fpir, subjects=size) for top in tops), 6),
                }
                for times, size in sizes.items()
            ],
        }
        for fpir in FPIRS
    ]
