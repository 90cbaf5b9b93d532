"""A bundle: what training made for serving, in one folder that is verified before it is used.

`manifest.json` vouches for every other file. Rows of N classes ascend by subject id:
`class_means.f16` (N, d), `subject_ids.npy`, `imprinted.npy`, and `index.faiss` over the means in
that very form. `subnet_rows.npy` has the rows that the outputs of each subnet stand for, one subnet
after the other, bounded by `subnet_offsets.npy`; `subnets/NNN.onnx` are the nets, with their
weights beside them. `calibration.json` has weights and thresholds.

Ten million classes must open within seconds and little memory: files are mapped, and there is no
Python object for each class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from models.bundle_files import (
    check_ascending,
    check_files,
    map_array,
    map_class_means,
    map_subject_ids,
    read_index,
)
from models.bundle_format import (
    CALIBRATION,
    CLASS_MEANS,
    IMPRINTED,
    INDEX,
    MANIFEST,
    SUBJECT_IDS,
    SUBNET_OFFSETS,
    SUBNET_ROWS,
    BundleInvalid,
    BundleManifest,
    Identity,
    read_object,
    subnet_name,
    weights_of,
)
from models.router import ClassMeanIndex


class _Memberships(NamedTuple):
    """E pairs of class and subnet, by class and then by subnet."""

    offsets: NDArray[np.int64]
    clusters: NDArray[np.int32]
    columns: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Bundle:
    """An opened bundle of N classes in m subnets, with E memberships of classes in subnets."""

    folder: Path
    manifest: BundleManifest
    class_means: NDArray[np.float16] = field(repr=False)
    """(N, d) read-only memory map; rows of unit length, but for what float16 takes."""
    subject_ids: NDArray[np.bytes_] = field(repr=False)
    """(N,) read-only memory map: UTF-8, strictly ascending, of one width."""
    imprinted: NDArray[np.bool_] = field(repr=False)
    """(N,) whether a class's weights in its subnets were set to its mean, not trained."""
    index: ClassMeanIndex
    calibration: Mapping[str, Any] = field(repr=False)
    """Contents of `calibration.json`."""
    class_offsets: NDArray[np.int64] = field(repr=False)
    """(N + 1,) bounds of each class's memberships; none is without."""
    class_clusters: NDArray[np.int32] = field(repr=False)
    """(E,) subnet of each membership, ascending within a class."""
    class_columns: NDArray[np.int32] = field(repr=False)
    """(E,) which of the subnet's outputs stands for the class."""
    _subnet_rows: NDArray[np.int32] = field(repr=False)
    _subnet_offsets: NDArray[np.int64] = field(repr=False)

    @classmethod
    def open(cls, folder: Path, *, embedder: Identity) -> Self:
        """Verify every file, then map what grows with the classes and read the rest.

        Args:
            folder: of the bundle.
            embedder: that makes the probes' templates: a bundle of another one is refused.

        Raises:
            BundleInvalid: a file is missing, too many, changed or doesn't fit the others, or the
                bundle is of another embedder; the message names the file.
        """
        manifest = BundleManifest.read(folder / MANIFEST)
        _check_embedder(folder / MANIFEST, manifest, embedder)
        check_files(folder, manifest)
        classes, subnets = manifest.counts["classes"], manifest.counts["subnets"]
        means = map_class_means(folder / CLASS_MEANS, classes, manifest.dimension)
        subject_ids = map_subject_ids(folder / SUBJECT_IDS)
        check_ascending(folder / SUBJECT_IDS, subject_ids, classes)
        rows = map_array(folder / SUBNET_ROWS, np.int32, None)
        offsets = map_array(folder / SUBNET_OFFSETS, np.int64, subnets + 1)
        _check_offsets(folder, offsets, len(rows), manifest.dimension)
        members = _memberships(folder / SUBNET_ROWS, rows, offsets, subject_ids)
        return cls(
            folder=folder,
            manifest=manifest,
            class_means=means,
            subject_ids=subject_ids,
            imprinted=map_array(folder / IMPRINTED, np.bool_, classes),
            index=read_index(folder / INDEX, manifest, means),
            calibration=read_object(folder / CALIBRATION),
            class_offsets=members.offsets,
            class_clusters=members.clusters,
            class_columns=members.columns,
            _subnet_rows=rows,
            _subnet_offsets=offsets,
        )

    @property
    def id(self) -> str:
        """SHA-256, in hexadecimal, that names these very contents."""
        return self.manifest.id

    @property
    def cluster_count(self) -> int:
        """Count the subnets: m."""
        return len(self._subnet_offsets) - 1

    def rows_of(self, subject_ids: Sequence[str]) -> NDArray[np.int64]:
        """(n,) class row of each of n subjects; -1 for who is not in the bundle."""
        return find_rows(self.subject_ids, subject_ids)

    def id_of(self, row: int) -> str:
        """Id of the subject whose class it is."""
        return bytes(self.subject_ids[row]).decode()

    def clusters_of(self, row: int) -> NDArray[np.int32]:
        """Ascending numbers of the subnets that know a class: one at least."""
        return self.class_clusters[self.class_offsets[row] : self.class_offsets[row + 1]]

    def subnet_classes(self, number: int) -> NDArray[np.int32]:
        """(k,) class row that each output of a subnet stands for."""
        return self._subnet_rows[self._subnet_offsets[number] : self._subnet_offsets[number + 1]]

    def subnet_file(self, number: int) -> Path:
        """Net of one subnet: `template` (n, d) in, `cosines` (n, k) out, see `subnet_classes`."""
        return self.folder / subnet_name(number)


def read_subject_ids(folder: Path) -> NDArray[np.bytes_]:
    """(N,) ids of the subjects of a bundle that is not opened: mapped, ascending, not verified.

    Raises:
        BundleInvalid: the file is missing or is no list of ids.
    """
    return map_subject_ids(folder / SUBJECT_IDS)


def find_rows(ids: NDArray[np.bytes_], wanted: Sequence[str]) -> NDArray[np.int64]:
    """Look up subjects in ascending ids.

    Args:
        ids: (N,) strictly ascending UTF-8, N at least 1.
        wanted: n ids.

    Returns:
        (n,) row of each; -1 for who is not among them.
    """
    encoded = [subject.encode() for subject in wanted]
    # Cut to the width of `ids`, a longer one could be taken for another; so could one that ends
    # with noughts, which numpy takes for filling.
    sound = [len(each) <= ids.dtype.itemsize and each[-1:] != b"\0" for each in encoded]
    keys = np.array(encoded, ids.dtype)
    rows = np.searchsorted(ids, keys).clip(max=len(ids) - 1)
    return np.where((ids[rows] == keys) & np.array(sound, np.bool_), rows, -1).astype(np.int64)


def _check_embedder(path: Path, manifest: BundleManifest, embedder: Identity) -> None:
    stated = manifest.embedder
    if (stated["name"], stated["sha256"]) != (embedder.name, embedder.sha256):
        raise BundleInvalid(
            f"{path}: was made for the embedder {stated['name']} ({stated['sha256'][:12]}), "
            f"not for {embedder.name} ({embedder.sha256[:12]})"
        )


def _check_offsets(
    folder: Path, offsets: NDArray[np.int64], memberships: int, dimension: int
) -> None:
    """Look whether subnets follow each other, and have weights for so many classes."""
    path = folder / SUBNET_OFFSETS
    if offsets[0] != 0 or offsets[-1] != memberships or (np.diff(offsets) <= 0).any():
        raise BundleInvalid(f"{path}: does not bound the rows of {SUBNET_ROWS}")
    for number, classes in enumerate(np.diff(offsets)):
        weights = weights_of(folder / subnet_name(number))
        if weights.stat().st_size != 4 * classes * dimension:
            raise BundleInvalid(
                f"{weights}: does not hold the weights of {classes} classes of {dimension} values"
            )


def _memberships(
    path: Path,
    rows: NDArray[np.int32],
    offsets: NDArray[np.int64],
    subject_ids: NDArray[np.bytes_],
) -> _Memberships:
    """Turn the rows of each subnet into the subnets of each row."""
    classes = len(subject_ids)
    if rows.min() < 0 or rows.max() >= classes:
        raise BundleInvalid(f"{path}: has rows outside 0 to {classes - 1}")
    clusters = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
    columns = (np.arange(len(rows)) - offsets[clusters]).astype(np.int32)
    order = np.argsort(rows, kind="stable")
    clusters, sorted_rows = clusters[order], rows[order]
    counts = np.bincount(sorted_rows, minlength=classes)
    if not counts.all():
        first = bytes(subject_ids[int(counts.argmin())]).decode(errors="replace")
        raise BundleInvalid(f"{path}: no subnet knows subject {first!r}")
    twice = (np.diff(sorted_rows) == 0) & (np.diff(clusters) == 0)
    if twice.any():
        number = int(clusters[int(twice.argmax())])
        raise BundleInvalid(f"{path}: subnet {number} must have each class once")
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return _Memberships(bounds, clusters, columns[order])
