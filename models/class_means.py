"""Class means: one unit vector a subject, from which a single wrong picture is kept away.

A sample that is much less alike to the subject's other samples than those are to each other is a
bad crop or somebody else. It is weighed down rather than left out, so that no threshold decides,
and a subject whose samples are merely spread out keeps the plain mean.
"""

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats

FEWEST = 3
"""Samples from which on one can be told to be the odd one: of two, neither can."""
BLOCK_SUBJECTS = 4_096
"""Subjects with so many samples that are weighed at a time, for the sake of memory."""
NOWHERE = 1e-3
"""Length below which a sum of unit vectors has cancelled out: its direction is rounding."""


def class_means(samples: Floats, offsets: NDArray[np.int64]) -> Floats:
    """Robust unit-length mean of each subject's samples.

    Of three samples or more, c is the cosine of each with the mean of the subject's others, 0 if
    it is below, and r half the median of c. A sample has weight 1, but (c / r)^2 where c < r.

    Args:
        samples: (S, d) unit rows, ordered by subject.
        offsets: (N + 1,) bounds of each subject's rows; no subject is empty.

    Returns:
        (N, d) unit rows; a row of zeros where opposite vectors cancel out.
    """
    if len(offsets) == 1:
        return np.empty((0, samples.shape[1]), np.float32)
    sums = np.add.reduceat(samples, offsets[:-1], axis=0)
    several = np.flatnonzero(np.diff(offsets) >= FEWEST)
    for start in range(0, len(several), BLOCK_SUBJECTS):
        _weigh_down(sums, samples, offsets, several[start : start + BLOCK_SUBJECTS])
    return _at_unit_length(sums)


def unit_means(vectors: Floats, offsets: NDArray[np.int64]) -> Floats:
    """Plain unit-length mean of each group of vectors, in which each counts alike.

    Args:
        vectors: (S, d) unit rows, ordered by group.
        offsets: (N + 1,) bounds of each group's rows; N is at least 1, and no group is empty.

    Returns:
        (N, d) unit rows; a row of zeros where opposite vectors cancel out.
    """
    return _at_unit_length(np.add.reduceat(vectors, offsets[:-1], axis=0))


def _at_unit_length(sums: Floats) -> Floats:
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    # Opposite vectors cancel out: such a mean points nowhere and must match nobody, not NaN.
    means: Floats = sums / np.maximum(lengths, np.float32(1e-12))
    return means


def _weigh_down(
    sums: Floats, samples: Floats, offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> None:
    """Put weighted sums in the place of plain ones where a sample of these rows is odd.

    Args:
        sums: (N, d) sums of each subject's samples; changed.
        samples: (S, d).
        offsets: (N + 1,).
        rows: (n,) subjects, each with `FEWEST` samples or more.
    """
    counts = offsets[rows + 1] - offsets[rows]
    owners = np.repeat(np.arange(len(rows)), counts)
    firsts = np.cumsum(counts) - counts
    own = samples[np.arange(len(owners)) + (offsets[rows] - firsts)[owners]]
    others = sums[rows[owners]] - own
    lengths = np.maximum(np.linalg.norm(others, axis=1), np.float32(NOWHERE))
    cosines = np.maximum(np.einsum("sd,sd->s", own, others) / lengths, 0)
    ordered = cosines[np.lexsort((cosines, owners))]
    halves = (ordered[firsts + (counts - 1) // 2] + ordered[firsts + counts // 2]) / 4
    reference = halves[owners]
    odd = cosines < reference
    touched = np.bincount(owners[odd], minlength=len(rows)) > 0
    if not touched.any():
        return
    # Where nothing is odd, the plain sum stays to the bit.
    weights = np.ones_like(cosines)
    weights[odd] = (cosines[odd] / reference[odd]) ** 2
    kept = touched[owners]
    starts = np.cumsum(counts[touched]) - counts[touched]
    sums[rows[touched]] = np.add.reduceat(own[kept] * weights[kept, None], starts, axis=0)
