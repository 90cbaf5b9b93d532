"""The embedding store: one template a picture, on disk, opened by memory map.

Everything after the embedder works on these vectors alone. `training/stores/writer.py` makes one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

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
    Kind,
    Manifest,
    StoreInvalid,
    check_every_subject_has_an_original,
    check_range,
    check_vectors,
    file_sha256,
    read_json,
)

BLOCK_ROWS = 65_536
"""Rows of vectors in memory at a time: 50 MB as float32 at d = 192."""


@dataclass(frozen=True, eq=False)
class EmbeddingStore:
    """An opened store. The arrays are read-only memory maps of n rows."""

    folder: Path
    manifest: Manifest
    subject_ids: tuple[str, ...]
    """N ids; a label is an index into them."""
    vectors: NDArray[np.float16]
    """(n, d) rows of unit length."""
    labels: NDArray[np.int32]
    """(n,) in [0, N)."""
    kinds: NDArray[np.uint8]
    """(n,) `Kind`."""
    sources: NDArray[np.int32]
    """(n,) number of the picture that a row was made from, shared by its copies."""
    quality: NDArray[np.float32]
    """(n,) in [0, 1]; higher is better."""

    @classmethod
    def open(cls, folder: Path, *, embedder: EmbedderIdentity | None = None) -> Self:
        """Verify every file and map it.

        Args:
            folder: of the store.
            embedder: refuse vectors of any other.

        Raises:
            StoreInvalid: a file is missing, or its size, checksum or contents are wrong, or the
                vectors are another embedder's; the message names the file.
        """
        manifest = Manifest.read(folder)
        if embedder is not None and embedder != manifest.embedder:
            raise StoreInvalid(
                f"{folder / MANIFEST}: the vectors are of {_spoken(manifest.embedder)}, "
                f"not of {_spoken(embedder)}"
            )
        for name, digest in manifest.sha256.items():
            _check_file(folder / name, manifest, digest)
        columns = {name: _mapped(folder / name, manifest) for name in COLUMNS}
        store = cls(
            folder=folder,
            manifest=manifest,
            subject_ids=_subject_ids(folder / SUBJECTS),
            vectors=columns[VECTORS],
            labels=columns[LABELS],
            kinds=columns[KINDS],
            sources=columns[SOURCES],
            quality=columns[QUALITY],
        )
        store._check_contents()
        return store

    def __len__(self) -> int:
        """Count the rows."""
        return self.manifest.rows

    @property
    def dimension(self) -> int:
        return self.manifest.dimension

    @property
    def originals(self) -> NDArray[np.bool_]:
        """(n,) whether a row is a picture as it was, no copy of any kind."""
        return np.asarray(self.kinds == Kind.ORIGINAL)

    def _check_contents(self) -> None:
        """A checksum only says that a file is as it was written: that may have been wrong."""
        for start in range(0, len(self), BLOCK_ROWS):
            block = self.vectors[start : start + BLOCK_ROWS]
            check_vectors(self.folder / VECTORS, block, start)
        check_range(self.folder / LABELS, self.labels, 0, len(self.subject_ids) - 1)
        check_range(self.folder / KINDS, self.kinds, min(Kind), max(Kind))
        check_range(self.folder / SOURCES, self.sources, 0, np.inf)
        check_range(self.folder / QUALITY, self.quality, 0, 1)
        check_every_subject_has_an_original(
            self.folder / LABELS, self.subject_ids, self.labels, self.kinds
        )
        counted = (len(self.subject_ids), count_kinds(self.kinds))
        if counted != (self.manifest.subjects, self.manifest.kinds):
            raise StoreInvalid(f"{self.folder / MANIFEST}: its counts are not those of the files")


def count_kinds(kinds: NDArray[np.uint8]) -> dict[str, int]:
    """Rows of each kind, by its name in lower case."""
    counts = np.bincount(kinds, minlength=len(Kind)).tolist()
    return {kind.name.lower(): counts[kind] for kind in Kind}


def _spoken(embedder: EmbedderIdentity) -> str:
    return f"{embedder.name} ({embedder.sha256[:12]})"


def _check_file(path: Path, manifest: Manifest, digest: str) -> None:
    if not path.is_file():
        raise StoreInvalid(f"{path}: is missing")
    if path.name in COLUMNS:
        width = manifest.values_a_row(path.name) * np.dtype(COLUMNS[path.name]).itemsize
        size = path.stat().st_size
        if size != manifest.rows * width:
            raise StoreInvalid(
                f"{path}: has {size} bytes, but {manifest.rows} rows take {manifest.rows * width}"
            )
    found = file_sha256(path)
    if found != digest:
        raise StoreInvalid(f"{path}: its SHA-256 is {found}, but {digest} was written")


def _mapped(path: Path, manifest: Manifest) -> NDArray[Any]:
    mapped: NDArray[Any] = np.memmap(path, COLUMNS[path.name], "r")
    if path.name == VECTORS:
        return mapped.reshape(manifest.rows, manifest.dimension)
    return mapped


def _subject_ids(path: Path) -> tuple[str, ...]:
    ids = read_json(path)
    if not isinstance(ids, list) or not all(isinstance(entry, str) and entry for entry in ids):
        raise StoreInvalid(f"{path}: must be a list of ids")
    if len(set(ids)) != len(ids):
        raise StoreInvalid(f"{path}: an id stands twice")
    return tuple(ids)
