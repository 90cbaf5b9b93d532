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

from models.arrays import Floats
from models.bundle import Bundle
from models.bundle_format import (
    CALIBRATION,
    CLASS_MAP,
    CLASS_MEANS,
    INDEX,
    MANIFEST,
    SUBNETS,
    BundleManifest,
    FileEntry,
    file_names,
    subnet_name,
)
from models.router import class_mean_index
from training.stores.format import EmbedderIdentity


@dataclass(frozen=True, eq=False)
class Subnet:
    """One trained subnet."""

    file: Path
    """Its ONNX net."""
    classes: NDArray[np.int32]
    """(k,) class row that each output stands for."""


@dataclass(frozen=True, eq=False)
class BundleContents:
    """All that a bundle is made of; N classes."""

    embedder: EmbedderIdentity
    subject_ids: Sequence[str]
    """N, whose mean each row is."""
    class_means: Floats
    """(N, d) unit rows."""
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


def publish(contents: BundleContents, destination: Path) -> str:
    """Write a bundle. The same contents give the same bytes.

    Args:
        contents: of the bundle.
        destination: folder where it will be; it is there whole or not at all.

    Returns:
        The bundle's id.

    Raises:
        FileExistsError: something is at the destination already.
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
    # The index holds the means as they are on disk, so that a rerank from there agrees with it.
    # An overflow becomes an infinity here, which is refused when the bundle is verified.
    with np.errstate(over="ignore"):
        means = contents.class_means.astype("<f2")
    with _synced(folder / CLASS_MEANS) as file:
        file.write(means.tobytes())
    with _synced(folder / INDEX) as file:
        file.write(faiss.serialize_index(class_mean_index(means.astype(np.float32))).tobytes())
    class_map = {
        "subject_ids": list(contents.subject_ids),
        "subnet_classes": [subnet.classes.tolist() for subnet in contents.subnets],
    }
    for name, document in ((CLASS_MAP, class_map), (CALIBRATION, contents.calibration)):
        text = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)
        with _synced(folder / name) as file:
            file.write((text + "\n").encode())
    for number, subnet in enumerate(contents.subnets):
        with subnet.file.open("rb") as source, _synced(folder / subnet_name(number)) as file:
            shutil.copyfileobj(source, file)
    manifest = BundleManifest(
        embedder={"name": contents.embedder.name, "sha256": contents.embedder.sha256},
        dimension=means.shape[1],
        seed=contents.seed,
        synthetic=contents.synthetic,
        watermark=contents.watermark,
        counts={"classes": len(means), "subnets": len(contents.subnets)},
        evaluation=contents.evaluation,
        files={name: FileEntry.of(folder / name) for name in file_names(len(contents.subnets))},
    )
    with _synced(folder / MANIFEST) as file:
        file.write(manifest.to_bytes())
    _sync_folder(folder / SUBNETS)
    _sync_folder(folder)


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
