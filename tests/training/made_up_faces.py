"""A made-up source of vectors whose classes differ in direction, spread and tails."""

from pathlib import Path

import numpy as np

from tests.training.small_stores import store_of
from training.stores.format import Kind
from training.stores.store import EmbeddingStore
from training.stores.writer import Batch


def made_up_store(folder: Path, *, classes: int = 1_500, dimension: int = 24) -> EmbeddingStore:
    """Write a store of anisotropic classes of 1 to 12 originals, Student-t around their centres."""
    rng = np.random.default_rng(8)
    counts = rng.integers(1, 13, classes)
    labels = np.repeat(np.arange(classes), counts)
    rows = len(labels)
    axes = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0]
    between = np.geomspace(1, 0.1, dimension)
    within = np.roll(np.geomspace(0.6, 0.1, dimension), 5)
    centres = 0.3 + rng.standard_normal((classes, dimension)) * between
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    spreads = np.exp(0.25 * rng.standard_normal(classes))[labels, None]
    tails = np.sqrt(6 / rng.chisquare(8, rows))[:, None]
    noise = rng.standard_normal((rows, dimension)) * within @ axes
    vectors = centres[labels] + 0.45 * spreads * tails * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    batch = Batch(
        subject_ids=[f"s{label}" for label in labels],
        vectors=vectors.astype(np.float32),
        kinds=np.full(rows, Kind.ORIGINAL, np.uint8),
        sources=np.arange(rows, dtype=np.int32),
        quality=np.ones(rows, np.float32),
    )
    return store_of(folder, [batch], dimension=dimension)
