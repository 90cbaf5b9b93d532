"""The files of a bundle: each as the manifest vouches for it, mapped, and fitting the others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from models.bundle_format import (
    CLASS_MEANS,
    MANIFEST,
    SUBNETS,
    BundleInvalid,
    BundleManifest,
    FileEntry,
)
from models.half import as_float32
from models.router import ClassMeanIndex

BLOCK_ROWS = 65_536
"""Rows of a mapped file that are looked at together."""
TRIED = 256
"""Class means that are searched in an index of codes to see that it is theirs."""
_EXPONENT = 0x7C00
"""Bits of a float16 that are all set in infinities and NaN, and in nothing else."""


def check_files(folder: Path, manifest: BundleManifest) -> None:
    """Compare the folder with the manifest.

    Raises:
        BundleInvalid: a file is missing, too many or changed; the message names it.
    """
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


def map_class_means(path: Path, classes: int, dimension: int) -> NDArray[np.float16]:
    """(N, d) read-only map.

    Raises:
        BundleInvalid: it has another size, or values that are not finite.
    """
    if path.stat().st_size != 2 * classes * dimension:
        raise BundleInvalid(f"{path}: does not hold {classes} class means of {dimension} values")
    means: NDArray[np.float16] = _plain(np.memmap(path, "<f2", "r").reshape(classes, dimension))
    for start, stop in _blocks(classes):
        if ((means[start:stop].view(np.uint16) & _EXPONENT) == _EXPONENT).any():
            raise BundleInvalid(f"{path}: has values that are not finite")
    return means


def map_subject_ids(path: Path) -> NDArray[np.bytes_]:
    """(N,) read-only map of UTF-8, of one width.

    Raises:
        BundleInvalid: it can't be read, or is no list of ids.
    """
    ids = _mapped(path)
    if ids.dtype.kind != "S" or ids.ndim != 1 or not len(ids):
        raise BundleInvalid(f"{path}: is not a list of ids")
    return ids


def check_ascending(path: Path, ids: NDArray[np.bytes_], classes: int) -> None:
    """Look whether all ids are there, in order.

    Raises:
        BundleInvalid: there are not N of them, or they don't ascend from each to the next.
    """
    if len(ids) != classes:
        raise BundleInvalid(f"{path}: holds {len(ids)} ids of {classes}")
    ascend = all((ids[a : b - 1] < ids[a + 1 : b]).all() for a, b in _blocks(classes, overlap=1))
    if not ids[0] or not ascend:
        raise BundleInvalid(f"{path}: its ids do not ascend strictly")


def map_array(path: Path, dtype: type[np.generic], length: int | None) -> NDArray[Any]:
    """(length,) read-only map; None: of any length.

    Raises:
        BundleInvalid: it can't be read, or has another type or length.
    """
    array = _mapped(path)
    if array.dtype != dtype or array.ndim != 1 or length not in (None, len(array)):
        wanted = "" if length is None else f"{length} "
        raise BundleInvalid(f"{path}: is not a list of {wanted}values of type {dtype.__name__}")
    return array


def read_index(path: Path, manifest: BundleManifest, means: NDArray[np.float16]) -> ClassMeanIndex:
    """Read the index over the class means (N, d) of a bundle.

    Raises:
        BundleInvalid: it is not of the stated kind, or not over these class means.
    """
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise BundleInvalid(f"{path}: is not an index ({error})") from error
    kind = manifest.index["kind"]
    if _kind_of(index) != kind or (index.ntotal, index.d) != means.shape:
        raise BundleInvalid(f"{path}: is not an index of kind {kind} over {len(means)} class means")
    opened = ClassMeanIndex(kind, index, means, manifest.index["candidates"])
    if not (_holds_exactly(index, means) if kind == "exact" else _finds(opened)):
        raise BundleInvalid(f"{path}: its vectors are not those of {CLASS_MEANS}")
    return opened


def _kind_of(index: Any) -> str | None:
    if isinstance(index, faiss.IndexFlatIP):
        return "exact"
    coded = isinstance(index, faiss.IndexPreTransform)
    if coded and isinstance(faiss.downcast_index(index.index), faiss.IndexPQFastScan):
        return "pq"
    return None


def _holds_exactly(index: Any, means: NDArray[np.float16]) -> bool:
    return all(
        np.array_equal(index.reconstruct_n(start, stop - start), means[start:stop])
        for start, stop in _blocks(len(means))
    )


def _finds(index: ClassMeanIndex) -> bool:
    """Whether some class means find themselves, or their like, in an index of codes."""
    rows = np.unique(np.linspace(0, len(index) - 1, TRIED).astype(np.int64))
    probes = as_float32(index.means[rows])
    found = index.search(probes, 1).scores[:, 0]
    return bool((found >= (probes**2).sum(axis=1) - 1e-3).all())


def _mapped(path: Path) -> NDArray[Any]:
    try:
        return _plain(np.lib.format.open_memmap(path, mode="r"))
    except FileNotFoundError as error:
        raise BundleInvalid(f"{path}: is missing") from error
    except (OSError, ValueError) as error:
        raise BundleInvalid(f"{path}: is not an array ({error})") from error


def _plain(mapped: NDArray[Any]) -> NDArray[Any]:
    """The same map without numpy's class for maps, which takes 10 us at each indexing: a search of
    a million classes was 0.15 ms slower.
    """
    return mapped.view(np.ndarray)


def _blocks(length: int, overlap: int = 0) -> Iterator[tuple[int, int]]:
    for start in range(0, length, BLOCK_ROWS):
        yield start, min(start + BLOCK_ROWS + overlap, length)
