"""At which angles the samples of a class lie around its centre, which is not known."""

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

ANGLE_SAMPLES = 3
"""Fewest samples of a class whose angles are looked at: two are equally far from their centre."""
QUANTILES = 1_001
"""Points of the distribution of angles."""
SMALLEST_ANGLE = 0.05
"""In radians; a picture that is there twice would else have the logarithm of zero."""
SMALLEST_CONCENTRATION = 0.05
"""Mean cosine of the pairs of a class below which its pictures have no centre to speak of."""


def angles_to_centres(vectors: Doubles, labels: NDArray[np.int32], sums: Doubles) -> Doubles:
    """Angle of each sample to the centre of its class.

    The mean cosine of a sample to the others of its class is cos(its angle) * k, where k, the mean
    of the others' cosines to the centre, is the root of the mean cosine of the class's pairs.

    Args:
        vectors: (n, d) unit rows.
        labels: (n,) in [0, N).
        sums: (N, d) of each class's vectors.

    Returns:
        (n,) radians, at least `SMALLEST_ANGLE`; without meaning for classes of one or two.
    """
    counts = np.bincount(labels)
    to_others = ((vectors * sums[labels]).sum(axis=1) - 1) / np.maximum(counts - 1, 1)[labels]
    concentrations = np.bincount(labels, to_others) / counts
    roots = np.sqrt(np.maximum(concentrations, SMALLEST_CONCENTRATION))
    angles: Doubles = np.arccos(np.clip(to_others / roots[labels], -1, 1))
    return np.maximum(angles, SMALLEST_ANGLE)


def log_angle_components(
    angles: Doubles, labels: NDArray[np.int32]
) -> tuple[float, float, Doubles]:
    """Tell the spread of classes from the tails within them: variance components of log angle.

    Args:
        angles: (n,) above 0.
        labels: (n,) class of each; every class has several.

    Returns:
        The typical angle, the deviation of s, and (`QUANTILES`,) quantiles of t.
    """
    _, own, counts = np.unique(labels, return_inverse=True, return_counts=True)
    logs = np.log(angles)
    means = np.bincount(own, logs) / counts
    tails = (logs - means[own]) * np.sqrt(counts / (counts - 1))[own]
    noise = np.square(tails).mean() * (1 / counts).mean()
    between = max(float(means.var(ddof=1) - noise), 0.0)
    quantiles = np.quantile(tails, np.linspace(0, 1, QUANTILES))
    return float(np.exp(means.mean())), between**0.5, quantiles
