from pathlib import Path

import numpy as np
import pytest

from models.arrays import Floats
from tests.models.slow_means import one_at_a_time
from tests.training.small_stores import joined, store_of, unit_rows
from training.clusters import class_means as module
from training.clusters.class_means import class_means
from training.stores.format import Kind
from training.stores.store import EmbeddingStore
from training.stores.writer import Batch

CLASSES, DIMENSION = 50, 16


def random_store(folder: Path) -> EmbeddingStore:
    """Rows of all kinds, in no order, with one original a class at least."""
    rng = np.random.default_rng(3)
    owners = np.concatenate([np.arange(CLASSES), rng.integers(0, CLASSES, 350)])
    kinds = rng.integers(0, 3, 400).astype(np.uint8)
    kinds[:CLASSES] = Kind.ORIGINAL
    order = rng.permutation(400)
    batch = Batch(
        subject_ids=[f"s{owner}" for owner in owners[order]],
        vectors=unit_rows(rng, 400, DIMENSION),
        kinds=kinds[order],
        sources=np.arange(400, dtype=np.int32),
        quality=np.ones(400, np.float32),
    )
    return store_of(folder, [batch], dimension=DIMENSION)


def one_class_at_a_time(store: EmbeddingStore, allowed: set[int]) -> Floats:
    means = []
    for label in range(len(store.subject_ids)):
        rows = [
            row
            for row in range(len(store))
            if store.labels[row] == label and store.kinds[row] == 0 and row in allowed
        ]
        means.append(one_at_a_time(store.vectors[rows].astype(np.float32), [0, len(rows)])[0])
    return np.array(means)


def test_they_agree_with_one_class_at_a_time(tmp_path: Path) -> None:
    store = random_store(tmp_path / "store")
    means = class_means(store)
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, one_class_at_a_time(store, set(range(400))), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(means, axis=1), 1, atol=1e-6)


def test_rows_may_be_left_out(tmp_path: Path) -> None:
    store = random_store(tmp_path / "store")
    first = np.zeros(400, np.bool_)
    first[np.unique(np.where(store.originals, store.labels, -1), return_index=True)[1][1:]] = True
    within = first | (np.random.default_rng(0).uniform(size=400) < 0.5)
    slow = one_class_at_a_time(store, set(np.flatnonzero(within)))
    np.testing.assert_allclose(class_means(store, within=within), slow, atol=1e-6)


def test_the_size_of_a_block_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = random_store(tmp_path / "store")
    expected = class_means(store)
    for size in (1, 7, CLASSES):
        monkeypatch.setattr(module, "BLOCK_CLASSES", size)
        np.testing.assert_array_equal(class_means(store), expected)


def test_a_class_without_an_original_within_is_named(tmp_path: Path) -> None:
    store = random_store(tmp_path / "store")
    within = store.labels != store.subject_ids.index("s7")
    with pytest.raises(ValueError, match="'s7'"):
        class_means(store, within=within)


def test_opposite_vectors_have_no_mean_rather_than_nan(tmp_path: Path) -> None:
    vectors = unit_rows(np.random.default_rng(0), 1, DIMENSION)
    batches = [
        Batch([name], row, np.zeros(1, np.uint8), np.zeros(1, np.int32), np.ones(1, np.float32))
        for name, row in (("a", vectors), ("a", -vectors), ("b", vectors))
    ]
    means = class_means(store_of(tmp_path / "store", [joined(batches)], dimension=DIMENSION))
    np.testing.assert_array_equal(means[0], 0)
    np.testing.assert_allclose(means[1], vectors[0], atol=1e-3)
