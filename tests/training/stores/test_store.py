import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.small_stores import EMBEDDER, batch_of, joined, store_of
from training.stores.format import (
    COLUMNS,
    KINDS,
    LABELS,
    MANIFEST,
    QUALITY,
    SOURCES,
    SUBJECTS,
    VECTORS,
    EmbedderIdentity,
    StoreInvalid,
    file_sha256,
)
from training.stores.store import EmbeddingStore

HARD_NAMES = [f"hard_{name}" for name in ("resolution", "blur", "brightness", "jpeg", "cover")]
BATCHES = [batch_of(["zoë", "ann"]), batch_of(["bob", "ann"], seed=1)]


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return store_of(tmp_path / "store", BATCHES)


def refused(folder: Path, file: str, what: str = "") -> None:
    with pytest.raises(StoreInvalid, match=re.escape(str(folder / file)) + ".*" + what):
        EmbeddingStore.open(folder)


def rewrite(folder: Path, file: str, change: Callable[[Any], object]) -> None:
    """Change a file's contents, with a manifest that fits: as a faulty writer would."""
    path = folder / file
    if file in COLUMNS:
        values = np.fromfile(path, COLUMNS[file])
        change(values)
        values.tofile(path)
    else:
        path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))), "utf-8")
    if file != MANIFEST:
        sha256 = {file: file_sha256(path)}
        rewrite(folder, MANIFEST, lambda fields: fields | {"sha256": fields["sha256"] | sha256})


def test_what_was_written_is_read(store: EmbeddingStore) -> None:
    written = joined(BATCHES)
    assert len(store) == 8
    assert store.dimension == 8
    assert store.subject_ids == ("zoë", "ann", "bob")
    assert [store.subject_ids[label] for label in store.labels] == written.subject_ids
    np.testing.assert_array_equal(store.vectors, written.vectors.astype(np.float16))
    np.testing.assert_array_equal(store.kinds, written.kinds)
    np.testing.assert_array_equal(store.originals, written.kinds == 0)
    np.testing.assert_array_equal(store.sources, written.sources)
    np.testing.assert_array_equal(store.quality, written.quality)
    assert store.manifest.embedder == EMBEDDER
    assert store.manifest.kinds == {
        "original": 4,
        "augmented": 0,
        "degraded": 4,
        **dict.fromkeys(HARD_NAMES, 0),
    }
    assert not store.manifest.synthetic


def test_it_is_mapped_and_cannot_be_written_to(store: EmbeddingStore) -> None:
    assert isinstance(store.vectors, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        store.vectors[0, 0] = 1


def test_another_embedders_vectors_are_refused(store: EmbeddingStore) -> None:
    EmbeddingStore.open(store.folder, embedder=EMBEDDER)
    for other in (EmbedderIdentity("other", EMBEDDER.sha256), EmbedderIdentity("linear-7", "cd")):
        with pytest.raises(StoreInvalid, match=rf"{MANIFEST}: the vectors are of linear-7"):
            EmbeddingStore.open(store.folder, embedder=other)


@pytest.mark.parametrize("file", [*COLUMNS, SUBJECTS])
def test_a_damaged_file_is_refused(store: EmbeddingStore, file: str) -> None:
    path = store.folder / file
    whole = path.read_bytes()
    for position in (0, len(whole) // 2, len(whole) - 1):
        changed = bytearray(whole)
        changed[position] ^= 1
        path.write_bytes(changed)
        refused(store.folder, file, "SHA-256")
    path.write_bytes(whole[:-1])
    refused(store.folder, file)
    path.write_bytes(whole + b"\0")
    refused(store.folder, file)
    path.unlink()
    refused(store.folder, file, "is missing")
    path.write_bytes(whole)
    EmbeddingStore.open(store.folder)


@pytest.mark.parametrize(
    ("value", "what"),
    [(np.nan, "not finite"), (np.inf, "not finite"), (0, "is zero"), (0.5, "of length 1.41")],
)
def test_vectors_that_are_no_templates_are_refused(
    store: EmbeddingStore, value: float, what: str
) -> None:
    def spoil(values: Any) -> None:
        values.reshape(8, 8)[5] = value

    rewrite(store.folder, VECTORS, spoil)
    refused(store.folder, VECTORS, f"row 5 .*{what}")


@pytest.mark.parametrize(
    ("file", "value"), [(LABELS, 3), (LABELS, -1), (KINDS, 8), (SOURCES, -1), (QUALITY, np.nan)]
)
def test_values_out_of_range_are_refused(store: EmbeddingStore, file: str, value: float) -> None:
    def spoil(values: Any) -> None:
        values[2] = value

    rewrite(store.folder, file, spoil)
    refused(store.folder, file, "row 2")


def test_a_subject_without_an_original_is_refused(store: EmbeddingStore) -> None:
    rewrite(store.folder, LABELS, lambda labels: labels.__setitem__(slice(4, 6), [1, 1]))
    refused(store.folder, LABELS, "'bob' has no original")


@pytest.mark.parametrize(
    ("ids", "what"),
    [
        (["a", "b"], "not within"),
        (["a", "b", "b"], "twice"),
        (["a", "b", ""], "list of ids"),
        (["a", "b", 3], "list of ids"),
        ({}, "list of ids"),
    ],
)
def test_wrong_subjects_are_refused(store: EmbeddingStore, ids: object, what: str) -> None:
    rewrite(store.folder, SUBJECTS, lambda _: ids)
    with pytest.raises(StoreInvalid, match=what):
        EmbeddingStore.open(store.folder)


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("format", 2, "of format 1"),
        ("rows", 0, "no subjects"),
        ("subjects", 0, "no subjects"),
        ("subjects", 4, "counts"),
        ("kinds", {}, "counts"),
        ("rows", "8", "'rows'"),
        ("synthetic", 0, "'synthetic'"),
        ("embedder", ["linear-7"], "'embedder'"),
        ("sha256", {}, "'sha256'"),
        ("colour", "red", "'colour'"),
    ],
)
def test_a_wrong_manifest_is_refused(
    store: EmbeddingStore, field: str, value: object, what: str
) -> None:
    rewrite(store.folder, MANIFEST, lambda fields: fields | {field: value})
    refused(store.folder, MANIFEST, what)


def test_sizes_must_fit_the_manifest(store: EmbeddingStore) -> None:
    rewrite(store.folder, MANIFEST, lambda fields: fields | {"dimension": 7})
    refused(store.folder, VECTORS, "has 128 bytes, but 8 rows take 112")


def test_a_manifest_that_is_missing_or_no_json_is_refused(store: EmbeddingStore) -> None:
    (store.folder / MANIFEST).write_bytes(b"{\xff")
    refused(store.folder, MANIFEST, "not a JSON file")
    (store.folder / MANIFEST).write_text("[]")
    refused(store.folder, MANIFEST)
    (store.folder / MANIFEST).unlink()
    refused(store.folder, MANIFEST, "cannot be read")
