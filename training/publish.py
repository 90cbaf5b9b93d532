"""Writes a bundle: aside, verified, moved to its place by one rename."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.bundle_files import map_class_means
from models.bundle_format import (
    CALIBRATION,
    CLASS_MEANS,
    IMPRINTED,
    INDEX,
    MANIFEST,
    SUBJECT_IDS,
    SUBNET_OFFSETS,
    SUBNET_ROWS,
    SUBNETS,
    BundleInvalid,
    BundleManifest,
    FileEntry,
    file_names,
    subnet_name,
    weights_of,
)
from models.router import ClassMeanIndex
from training.index_loss import measure_loss
from training.stores.format import EmbedderIdentity
from training.subnets.export import with_weights_beside

BLOCK_ROWS = 65_536
"""Class means that are in memory at a time."""


@dataclass(frozen=True, eq=False)
class Subnet:
    """One trained subnet."""

    file: Path
    """Its ONNX net, as `export_subnet` makes it."""
    classes: NDArray[np.int32]
    """(k,) class that each output stands for, by its place in the contents."""


@dataclass(frozen=True, eq=False)
class BundleContents:
    """All that a bundle is made of; N classes."""

    embedder: EmbedderIdentity
    subject_ids: Sequence[str] | NDArray[np.bytes_]
    """N, whose mean each row is, in any order; an array holds UTF-8."""
    class_means: NDArray[np.floating[Any]]
    """(N, d) unit rows, float32 or float16; may be a memory map."""
    imprinted: NDArray[np.bool_]
    """(N,) whether a class's weights in its subnets were set to its mean, not trained."""
    subnets: Sequence[Subnet]
    """Every class is in one at least."""
    calibration: Mapping[str, Any]
    """In JSON's types."""
    evaluation: Mapping[str, Any]
    """The evaluation's summary, in JSON's types. What differs from one run to the next, seconds
    say, would give the same training another id: it belongs into the report."""
    seed: int
    synthetic: bool
    watermark: int | None = None
    """Revision of the gallery's feed up to which it was read; None: not from a gallery."""
    collection: str | None = None
    """Id of the collection that is the gallery; None likewise."""


def publish(contents: BundleContents, destination: Path) -> str:
    """Write a bundle. The same contents give the same bytes.

    Args:
        contents: of the bundle.
        destination: folder where it will be; it is there whole or not at all.

    Returns:
        The bundle's id.

    Raises:
        FileExistsError: something is at the destination already.
        IndexLossy: the index over the class means misses too many of them.
        ValueError: the evaluation holds NaN or an infinity.
        BundleInvalid: the contents do not fit together; the message names the file.
        OSError: a subnet's file can't be read, or the disk is full. Whatever is raised, nothing
            is left behind.
    """
    if destination.exists():
        raise FileExistsError(f"{destination} is there already")
    aside = destination.with_name(f"{destination.name}.unfinished")
    # A kill may have come in the midst of this.
    shutil.rmtree(aside, ignore_errors=True)
    destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        _write(contents, aside)
        bundle_id = Bundle.open(aside, embedder=contents.embedder).id
        aside.rename(destination)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    _sync_folder(destination.parent)
    return bundle_id


def _write(contents: BundleContents, folder: Path) -> None:
    (folder / SUBNETS).mkdir(parents=True)
    ids = _id_array(contents.subject_ids)
    order = np.argsort(ids, kind="stable")
    _write_means(contents.class_means, order, folder / CLASS_MEANS)
    _write_array(ids[order], folder / SUBJECT_IDS)
    _write_array(contents.imprinted[order], folder / IMPRINTED)
    _write_subnets(contents.subnets, order, folder)
    # The index holds the means as they are on disk, so that a rerank from there agrees with it.
    means = map_class_means(folder / CLASS_MEANS, *contents.class_means.shape)
    with _one_thread():
        index = ClassMeanIndex.build(means)
    with _synced(folder / INDEX) as file:
        file.write(faiss.serialize_index(index.index).data)
    text = json.dumps(contents.calibration, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with _synced(folder / CALIBRATION) as file:
        file.write((text + "\n").encode())
    manifest = BundleManifest(
        embedder={"name": contents.embedder.name, "sha256": contents.embedder.sha256},
        dimension=means.shape[1],
        seed=contents.seed,
        synthetic=contents.synthetic,
        watermark=contents.watermark,
        collection=contents.collection,
        counts={"classes": len(means), "subnets": len(contents.subnets)},
        index={
            "kind": index.kind,
            "candidates": index.candidates,
            "rank1_loss": measure_loss(index, seed=contents.seed),
        },
        evaluation=contents.evaluation,
        files={name: FileEntry.of(folder / name) for name in file_names(len(contents.subnets))},
    )
    with _synced(folder / MANIFEST) as file:
        file.write(manifest.to_bytes())
    _sync_folder(folder / SUBNETS)
    _sync_folder(folder)


def _id_array(subject_ids: Sequence[str] | NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """(N,) UTF-8 of one width."""
    if isinstance(subject_ids, np.ndarray):
        return subject_ids
    return np.array([subject.encode() for subject in subject_ids], np.bytes_)


def _write_means(means: NDArray[np.floating[Any]], order: NDArray[np.int64], path: Path) -> None:
    # An overflow becomes an infinity here, which is refused when the file is mapped.
    with _synced(path) as file, np.errstate(over="ignore"):
        for start in range(0, len(order), BLOCK_ROWS):
            file.write(means[order[start : start + BLOCK_ROWS]].astype("<f2").data)


def _write_subnets(subnets: Sequence[Subnet], order: NDArray[np.int64], folder: Path) -> None:
    """Write nets, weights, and which rows they answer for, now that rows are in `order`."""
    rows = np.empty(len(order), np.int32)
    rows[order] = np.arange(len(order), dtype=np.int32)
    sizes = [len(subnet.classes) for subnet in subnets]
    classes = [subnet.classes for subnet in subnets]
    _write_array(rows[np.concatenate([np.empty(0, np.int32), *classes])], folder / SUBNET_ROWS)
    _write_array(np.cumsum([0, *sizes], dtype=np.int64), folder / SUBNET_OFFSETS)
    for number, subnet in enumerate(subnets):
        target = folder / subnet_name(number)
        try:
            net, weights = with_weights_beside(subnet.file.read_bytes(), weights_of(target).name)
        except ValueError as error:
            raise BundleInvalid(f"{subnet.file}: {error}") from error
        for path, data in ((target, net), (weights_of(target), weights)):
            with _synced(path) as file:
                file.write(data)


def _write_array(array: NDArray[Any], path: Path) -> None:
    with _synced(path) as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        # Not by `tofile`, whose error on a full disk doesn't say that it is full.
        file.write(np.ascontiguousarray(array).view(np.uint8).data)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Codes depend on the number of threads that learn and assign them: sums in another order."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def _synced(path: Path) -> Iterator[BinaryIO]:
    """Open a new file; its contents are on the disk when the block is left."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Names of files outlast a power cut only when their folder was written as well."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
