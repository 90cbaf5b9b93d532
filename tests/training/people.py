"""A store of people whose pictures scatter around a direction of their own."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from tests.training.small_stores import store_of
from training.stores.format import Kind
from training.stores.store import EmbeddingStore
from training.stores.writer import Batch

PICTURES = 5
"""Of each person; every one has a degraded copy."""


def people(folder: Path, count: int, *, spread: float = 0.5, seed: int = 0) -> EmbeddingStore:
    """Write a store of d = 8, whose rows 10 k to 10 k + 9 are person k's, originals first.

    Args:
        folder: where it will be.
        count: of people.
        spread: mean length of a picture's offset from its person's direction, of length 1.
        seed: of all draws.
    """
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((count, 1, 8))
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    offsets = rng.standard_normal((count, 2 * PICTURES, 8)) / np.sqrt(8)
    # Copies lie further off than the pictures that they are made from.
    offsets *= spread * np.repeat([1.0, 1.3], PICTURES)[:, None]
    vectors = (directions + offsets).reshape(-1, 8)
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    own = np.arange(count, dtype=np.int32)[:, None] * PICTURES + np.arange(PICTURES, dtype=np.int32)
    batch = Batch(
        subject_ids=[f"person {row // (2 * PICTURES):02}" for row in range(len(unit))],
        vectors=unit,
        kinds=np.tile(
            np.repeat(np.array([Kind.ORIGINAL, Kind.DEGRADED], np.uint8), PICTURES), count
        ),
        sources=np.concatenate([own, own], axis=1).reshape(-1).astype(np.int32),
        quality=np.ones(len(unit), np.float32),
    )
    return store_of(folder, [batch])


def last_originals(store: EmbeddingStore) -> NDArray[np.bool_]:
    """(n,) the last two original pictures of each person, to be validated on."""
    places = np.arange(len(store)) % (2 * PICTURES)
    return np.asarray((places == 3) | (places == 4))
