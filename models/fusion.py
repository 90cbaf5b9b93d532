"""The fused score: how much subnet, class mean and best sample each count.

What is best depends on the probe and on the candidate. Subnets learn from degraded copies and so
help most with poor probes; of a candidate with a single sample, class mean and best sample are
the same, and the subnet knows little more. So the weights are calibrated by both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats

CLASS_MEAN_WEIGHT = 0.5
"""Share of the class mean where nothing was calibrated; the best sample has the rest. Rank-1 on
6,072 noisy classes: mean alone 0.954-0.958, best sample alone 0.956-0.958, half each 0.962."""

POOR_QUALITY = 0.5
"""Of a probe: below it there is a reason to doubt the picture (`models/quality.py`)."""


@dataclass(frozen=True, eq=False)
class Fusion:
    """How clusters are chosen and scores are joined."""

    needed_share: float
    """Share of the vote that the searched clusters hold together, in [0, 1]."""
    weights: Floats
    """(2, 2, 3): of a good or poor probe, of a candidate with one sample or several, the weights
    of subnet, class mean and best sample; they sum to 1."""

    def scores(
        self, cosines: Floats, sample_counts: NDArray[np.integer], quality: Floats
    ) -> Floats:
        """Join the cosines of candidates.

        Args:
            cosines: (n, C, 3) of subnet, class mean and best sample; -inf for who isn't searched.
            sample_counts: (n, C) or (C,) samples of each candidate.
            quality: (n,) of the probes, in [0, 1].

        Returns:
            (n, C) in [-1, 1]; higher is more alike. -inf where a cosine is.
        """
        poor = np.asarray(quality < POOR_QUALITY, np.intp)[:, None]
        several = np.broadcast_to(np.asarray(sample_counts > 1, np.intp), cosines.shape[:2])
        # A weight of 0 times -inf would be NaN.
        finite = np.isfinite(cosines)
        known = np.where(finite, cosines, 0)
        scores: Floats = np.einsum(
            "ncw,ncw->nc", known, self.weights[poor, several], dtype=np.float32
        )
        scores[~finite.all(axis=2)] = -np.inf
        return scores

    def to_json(self) -> dict[str, Any]:
        """In JSON's types; `of_json` reads it."""
        return {"needed_share": self.needed_share, "weights": self.weights.tolist()}

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ValueError: something is missing, the share is outside [0, 1], or the weights are not
                2 x 2 x 3, are negative, or don't sum to 1.
        """
        try:
            weights = np.array(document["weights"], np.float32)
            needed_share = float(document["needed_share"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"no fusion: {error!r}") from error
        if not 0 <= needed_share <= 1:
            raise ValueError(f"a share of {needed_share}")
        if weights.shape != (2, 2, 3) or (weights < 0).any():
            raise ValueError(f"weights of shape {weights.shape}, or below 0")
        if not np.allclose(weights.sum(axis=2), 1, atol=1e-3):
            raise ValueError("weights that do not sum to 1")
        return cls(needed_share, weights)


UNTRAINED = Fusion(
    needed_share=0.0,
    weights=np.tile(np.array([0, CLASS_MEAN_WEIGHT, 1 - CLASS_MEAN_WEIGHT], np.float32), (2, 2, 1)),
)
"""What is used where nothing could be calibrated: half class mean, half best sample."""
