"""The probability that the first candidate of a search is right: a logistic function.

Instead of the score it takes the score's margin over the gallery's threshold. A score of 0.5 says
much among ten people and little among a million; half a tenth above the threshold says the same in
both, so that what was fitted once stays right while the gallery grows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FEATURES = ("margin", "gap", "several_samples", "quality")
MARGIN_FPIR = 0.01
"""The margin is that over the threshold at this target, whatever target a request has."""
MOST_GAP = 0.3
"""A larger gap counts as this: nearly all of a mate's are larger, and where next to nobody is
enrolled, a stranger's are too."""


@dataclass(frozen=True)
class Probability:
    """p = 1 / (1 + exp(-(b + w . x))), with x the `FEATURES` of a search.

    p is for a probe that is as likely enrolled as not.
    """

    intercept: float
    """b."""
    coefficients: tuple[float, ...]
    """w, one a feature."""

    def of(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) in (0, 1), of (n, F) features."""
        return logistic(self.intercept + features @ np.array(self.coefficients))

    def to_json(self) -> dict[str, Any]:
        """In JSON's types; `of_json` reads it."""
        return {
            "features": list(FEATURES),
            "intercept": self.intercept,
            "coefficients": list(self.coefficients),
        }

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ValueError: something is missing, or it was fitted to other features.
        """
        try:
            features = tuple(document["features"])
            read = cls(
                intercept=float(document["intercept"]),
                coefficients=tuple(float(value) for value in document["coefficients"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no probability: {error!r}") from error
        if features != FEATURES or len(read.coefficients) != len(FEATURES):
            raise ValueError(f"a probability by {features}, not by {FEATURES}")
        return read


def feature_rows(
    margins: NDArray[np.floating[Any]],
    gaps: NDArray[np.floating[Any]],
    several_samples: NDArray[np.bool_],
    quality: NDArray[np.floating[Any]],
) -> NDArray[np.float64]:
    """Put the `FEATURES` of n searches side by side.

    Args:
        margins: (n,) first candidate's score less the threshold at `MARGIN_FPIR`.
        gaps: (n,) first candidate's score less the second's, at least 0.
        several_samples: (n,) whether the first candidate has more than one sample.
        quality: (n,) of the probes, in [0, 1].

    Returns:
        (n, F)
    """
    columns = (margins, np.minimum(gaps, MOST_GAP), several_samples, quality)
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


def logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) of any shape, without overflow."""
    probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-values.clip(-50, 50)))
    return probabilities
