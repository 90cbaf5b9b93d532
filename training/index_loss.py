"""What an index over class means loses against comparing all of them, on probes that are hard."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.half import as_float32
from models.router import ClassMeanIndex, rank1_loss

HARD_COSINE = 0.7
"""Of the probes with their class mean: of clean pictures it is higher, and every index finds it."""
PROBES = 1_000
SIGNS = np.array([1, -1, 1, -1], np.float32)
"""Of the other classes along which a probe is moved: none of them is as near as its own."""
NOISE = np.float32(1e-3)
LARGEST_LOSS = 0.001
"""Share of the probes: 0.1 point of rank-1."""


class IndexLossy(ValueError):
    """The index misses too many class means that an exact scan finds."""


def probes_at(means: Floats, cosine: float, rng: np.random.Generator) -> Floats:
    """Draw a probe near each class mean, in a direction in which other classes lie.

    Faces fill a part of the space: in a direction from all of it hardly any class lies, and among
    a million every such probe finds its own. So each is moved along a few others, forth or back.

    Args:
        means: (n, d) unit rows in random order, d at least 2.
        cosine: of each probe with its class mean, in [-1, 1].
        rng: of a little noise, without which two equal means would have no direction between them.

    Returns:
        (n, d) unit rows.
    """
    directions = np.sum(
        [sign * np.roll(means, step, axis=0) for step, sign in enumerate(SIGNS, 1)], axis=0
    )
    directions += NOISE * rng.standard_normal(means.shape, np.float32)
    directions -= np.sum(directions * means, axis=1, keepdims=True) * means
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.asarray(cosine * means + np.sqrt(1 - cosine**2) * directions, np.float32)


def measure_loss(index: ClassMeanIndex, *, seed: int) -> float:
    """Share of hard probes that the exact scan gets right, less that of the index.

    Args:
        index: over N class means, N at least 1.
        seed: of the probes, `PROBES` or one a class at most.

    Raises:
        IndexLossy: it is above `LARGEST_LOSS`.
    """
    if index.kind == "exact":
        return 0.0
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(index), min(PROBES, len(index)), replace=False)
    probes = probes_at(_unit(index.means[rows]), HARD_COSINE, rng)
    loss = rank1_loss(index, probes, rows)
    if loss > LARGEST_LOSS:
        raise IndexLossy(
            f"the index over {len(index):,} class means finds {loss:.2%} fewer of the hard probes' "
            f"classes than an exact scan, and {LARGEST_LOSS:.1%} is the limit"
        )
    return loss


def _unit(rows: NDArray[np.floating[Any]]) -> Floats:
    """Bring rows from float16 back to unit length; zeros stay zeros."""
    wide = as_float32(rows)
    unit: Floats = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return unit
