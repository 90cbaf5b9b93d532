"""A bundle: what training made for serving, in one folder that is verified before it is used.

`manifest.json` vouches for every other file: `class_means.f16` (N, d), `class_map.json` (whose
rows they are, and in which subnets), `index.faiss` (exact, over the means in that very form),
`subnets/NNN.onnx` and `calibration.json`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from models.bundle_format import (
    CALIBRATION,
    CLASS_MAP,
    CLASS_MEANS,
    INDEX,
    MANIFEST,
    SUBNETS,
    BundleInvalid,
    BundleManifest,
    FileEntry,
    Identity,
    read_object,
    subnet_name,
)

BLOCK_ROWS = 65_536
"""Class means compared with the index at a time."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """An opened bundle of N classes in m subnets."""

    folder: Path
    manifest: BundleManifest
    class_means: NDArray[np.float16]
    """(N, d) read-only memory map; rows of unit length, but for what float16 takes."""
    subject_ids: tuple[str, ...]
    """N, whose mean each row is."""
    subnet_classes: tuple[NDArray[np.int32], ...]
    """m times (k,): the class row that each output of a subnet stands for."""
    index: Any
    """faiss, inner product over all class means; its ids are their rows."""
    calibration: Mapping[str, Any]
    """Contents of `calibration.json`."""
    _offsets: NDArray[np.int64]
    _clusters: NDArray[np.int32]

    @classmethod
    def open(cls, folder: Path, *, embedder: Identity) -> Self:
        """Verify every file, then map the class means and read the rest.

        Args:
            folder: of the bundle.
            embedder: that makes the probes' templates: a bundle of another one is refused.

        Raises:
            BundleInvalid: a file is missing, too many, changed or doesn't fit the others, or the
                bundle is of another embedder; the message names the file.
        """
        manifest = BundleManifest.read(folder / MANIFEST)
        _check_embedder(folder / MANIFEST, manifest, embedder)
        _check_files(folder, manifest)
        classes, dimension = manifest.counts["classes"], manifest.dimension
        means = _class_means(folder / CLASS_MEANS, classes, dimension)
        subject_ids, subnet_classes = _class_map(folder / CLASS_MAP, manifest)
        rows = np.concatenate(subnet_classes)
        clusters = np.repeat(
            np.arange(len(subnet_classes), dtype=np.int32), [len(own) for own in subnet_classes]
        )
        order = np.argsort(rows, kind="stable")
        return cls(
            folder=folder,
            manifest=manifest,
            class_means=means,
            subject_ids=subject_ids,
            subnet_classes=subnet_classes,
            index=_index(folder / INDEX, means),
            calibration=read_object(folder / CALIBRATION),
            _offsets=np.searchsorted(rows[order], np.arange(classes + 1)),
            _clusters=clusters[order],
        )

    @property
    def id(self) -> str:
        """SHA-256, in hexadecimal, that names these very contents."""
        return self.manifest.id

    def clusters_of(self, row: int) -> NDArray[np.int32]:
        """Ascending numbers of the subnets that know a class: one at least."""
        return self._clusters[self._offsets[row] : self._offsets[row + 1]]

    def subnet_file(self, number: int) -> Path:
        """Net of one subnet: input (n, d), output (n, k), k as in `subnet_classes`."""
        return self.folder / subnet_name(number)


def _check_embedder(path: Path, manifest: BundleManifest, embedder: Identity) -> None:
    stated = manifest.embedder
    if (stated["name"], stated["sha256"]) != (embedder.name, embedder.sha256):
        raise BundleInvalid(
            f"{path}: was made for the embedder {stated['name']} ({stated['sha256'][:12]}), "
            f"not for {embedder.name} ({embedder.sha256[:12]})"
        )


def _check_files(folder: Path, manifest: BundleManifest) -> None:
    expected = {*manifest.files, MANIFEST, SUBNETS}
    for path in sorted(folder.rglob("*")):
        if path.relative_to(folder).as_posix() not in expected:
            raise BundleInvalid(f"{path}: does not belong to the bundle")
    for name, entry in manifest.files.items():
        path = folder / name
        # What a link points to may change after this, without a trace in the folder.
        if path.is_symlink() or not path.is_file():
            raise BundleInvalid(f"{path}: is missing, or not a plain file")
        found = FileEntry.of(path)
        if found.size != entry.size:
            raise BundleInvalid(f"{path}: has {found.size} bytes, but {entry.size} were written")
        if found.sha256 != entry.sha256:
            raise BundleInvalid(
                f"{path}: was changed: its SHA-256 is {found.sha256}, not {entry.sha256}"
            )


def _class_means(path: Path, classes: int, dimension: int) -> NDArray[np.float16]:
    if path.stat().st_size != 2 * classes * dimension:
        raise BundleInvalid(f"{path}: does not hold {classes} class means of {dimension} values")
    means: NDArray[np.float16] = np.memmap(path, "<f2", "r").reshape(classes, dimension)
    return means


def _class_map(
    path: Path, manifest: BundleManifest
) -> tuple[tuple[str, ...], tuple[NDArray[np.int32], ...]]:
    document = read_object(path)
    ids, subnets = document.get("subject_ids"), document.get("subnet_classes")
    classes = manifest.counts["classes"]
    if not isinstance(ids, list) or not all(isinstance(entry, str) and entry for entry in ids):
        raise BundleInvalid(f"{path}: 'subject_ids' must be a list of ids")
    if len(ids) != classes or len(set(ids)) != classes:
        raise BundleInvalid(f"{path}: 'subject_ids' must be {classes} ids, each once")
    if not isinstance(subnets, list) or len(subnets) != manifest.counts["subnets"]:
        raise BundleInvalid(f"{path}: 'subnet_classes' must have one list a subnet")
    known = np.zeros(classes, np.bool_)
    for number, rows in enumerate(subnets):
        sound = isinstance(rows, list) and rows and all(type(row) is int for row in rows)
        if not sound or not 0 <= min(rows) <= max(rows) < classes or len(set(rows)) != len(rows):
            raise BundleInvalid(f"{path}: subnet {number} must have class rows, each once")
        known[rows] = True
    if not known.all():
        first = ids[int(known.argmin())]
        raise BundleInvalid(f"{path}: no subnet knows subject {first!r}")
    return tuple(ids), tuple(np.array(rows, np.int32) for rows in subnets)


def _index(path: Path, means: NDArray[np.float16]) -> Any:
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise BundleInvalid(f"{path}: is not an index ({error})") from error
    if not isinstance(index, faiss.IndexFlatIP) or (index.ntotal, index.d) != means.shape:
        raise BundleInvalid(f"{path}: is not an exact index of {len(means)} class means")
    for start in range(0, len(means), BLOCK_ROWS):
        block = means[start : start + BLOCK_ROWS].astype(np.float32)
        # NaN is equal to nothing, so it is refused here as well.
        if not np.array_equal(index.reconstruct_n(start, len(block)), block):
            raise BundleInvalid(
                f"{path}: its vectors are not those of {CLASS_MEANS}, or not finite"
            )
    return index
