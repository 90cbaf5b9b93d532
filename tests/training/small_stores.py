"""Small embedding stores for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.arrays import Floats
from training.stores.format import EmbedderIdentity, Kind
from training.stores.store import EmbeddingStore
from training.stores.writer import Batch, StoreWriter

EMBEDDER = EmbedderIdentity("linear-7", "ab" * 32)


def unit_rows(rng: np.random.Generator, rows: int, dimension: int) -> Floats:
    """(rows, dimension) float32 in all directions alike."""
    vectors = rng.standard_normal((rows, dimension)).astype(np.float32)
    lengths: Floats = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def crowded_rows(rng: np.random.Generator, rows: int, dimension: int, largest: float) -> Floats:
    """Rows around eight directions, a share of `largest` of them around the first."""
    centres = rng.standard_normal((8, dimension))
    shares = [largest] + [(1 - largest) / 7] * 7
    vectors = centres[rng.choice(8, rows, p=shares)] + 0.5 * rng.standard_normal((rows, dimension))
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def batch_of(subject_ids: Sequence[str], *, seed: int = 0, dimension: int = 8) -> Batch:
    """One picture a row and, after all of them, one degraded copy of each."""
    rng = np.random.default_rng(seed)
    count = len(subject_ids)
    return Batch(
        subject_ids=[*subject_ids, *subject_ids],
        vectors=unit_rows(rng, 2 * count, dimension),
        kinds=np.repeat(np.array([Kind.ORIGINAL, Kind.DEGRADED], np.uint8), count),
        sources=np.tile(np.arange(count, dtype=np.int32) + 100 * seed, 2),
        quality=rng.uniform(0, 1, 2 * count).astype(np.float32),
    )


def joined(batches: Sequence[Batch]) -> Batch:
    """The same rows in one batch."""
    return Batch(
        subject_ids=[subject for batch in batches for subject in batch.subject_ids],
        vectors=np.concatenate([batch.vectors for batch in batches]),
        kinds=np.concatenate([batch.kinds for batch in batches]),
        sources=np.concatenate([batch.sources for batch in batches]),
        quality=np.concatenate([batch.quality for batch in batches]),
    )


def begin(folder: Path, *, dimension: int = 8, plan: str = "p") -> StoreWriter:
    return StoreWriter(folder, embedder=EMBEDDER, dimension=dimension, synthetic=False, plan=plan)


def store_of(folder: Path, batches: Sequence[Batch], *, dimension: int = 8) -> EmbeddingStore:
    """Write and open a store."""
    writer = begin(folder, dimension=dimension)
    for batch in batches:
        writer.append(batch)
    writer.finish()
    return EmbeddingStore.open(folder)
