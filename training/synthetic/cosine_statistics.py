"""How alike two stores are: quantiles of the cosines of mated and of non-mated pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from training.stores.store import EmbeddingStore

LEVELS = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
PAIRS = 200_000
BLOCK_PAIRS = 20_000


@dataclass(frozen=True)
class CosineQuantiles:
    """Cosines at `LEVELS`, ascending."""

    mated: tuple[float, ...]
    non_mated: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """Two stores, side by side."""

    fitted: CosineQuantiles
    drawn: CosineQuantiles

    @property
    def largest_mated_difference(self) -> float:
        """Of the quantiles, absolute, in cosines."""
        return _largest_difference(self.fitted.mated, self.drawn.mated)

    @property
    def largest_non_mated_difference(self) -> float:
        """Of the quantiles, absolute, in cosines."""
        return _largest_difference(self.fitted.non_mated, self.drawn.non_mated)


def compare(fitted: EmbeddingStore, drawn: EmbeddingStore, *, seed: int) -> Comparison:
    """Set the cosines of a drawn store beside those of the store that it was fitted on.

    Args:
        fitted: the real one.
        drawn: the synthetic one.
        seed: of the pairs that are looked at.

    Raises:
        ValueError: a store has a single subject, or none with two original vectors.
    """
    return Comparison(cosine_quantiles(fitted, seed=seed), cosine_quantiles(drawn, seed=seed))


def cosine_quantiles(store: EmbeddingStore, *, seed: int) -> CosineQuantiles:
    """Look at `PAIRS` pairs of originals of each sort; every subject counts the same.

    Args:
        store: with two subjects, one of them with two original vectors, at least.
        seed: the same seed gives the same pairs.

    Raises:
        ValueError: the store is smaller.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(store.originals)
    rows = rows[np.argsort(store.labels[rows], kind="stable")]
    counts = np.bincount(store.labels[rows], minlength=len(store.subject_ids))
    starts = np.cumsum(counts) - counts
    several = np.flatnonzero(counts >= 2)
    if len(counts) < 2 or not len(several):
        raise ValueError(f"{store.folder}: has no mated or no non-mated pair of originals")
    own = several[rng.integers(len(several), size=PAIRS)]
    first = rng.integers(counts[own])
    second = (first + rng.integers(1, counts[own])) % counts[own]
    mated = _cosines(store, rows[starts[own] + first], rows[starts[own] + second])
    left = rng.integers(len(counts), size=PAIRS)
    right = (left + rng.integers(1, len(counts), size=PAIRS)) % len(counts)
    non_mated = _cosines(
        store,
        rows[starts[left] + rng.integers(counts[left])],
        rows[starts[right] + rng.integers(counts[right])],
    )
    return CosineQuantiles(_quantiles(mated), _quantiles(non_mated))


def _cosines(store: EmbeddingStore, left: NDArray[np.int64], right: NDArray[np.int64]) -> Floats:
    cosines = np.empty(len(left), np.float32)
    for start in range(0, len(left), BLOCK_PAIRS):
        block = slice(start, start + BLOCK_PAIRS)
        pairs = (store.vectors[rows[block]].astype(np.float32) for rows in (left, right))
        cosines[block] = np.einsum("nd,nd->n", *pairs)
    return cosines


def _quantiles(cosines: Floats) -> tuple[float, ...]:
    return tuple(np.quantile(cosines, LEVELS).tolist())


def _largest_difference(left: tuple[float, ...], right: tuple[float, ...]) -> float:
    return float(np.abs(np.subtract(left, right)).max())
