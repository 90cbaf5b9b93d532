"""Makes an embedding store batch by batch, and goes on after a kill.

Each batch becomes one shard. `finish` joins the shards into a store that is verified before one
rename puts it in its place: a store is there whole or not at all.
"""

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from training.stores.format import (
    COLUMNS,
    KINDS,
    LABELS,
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
)
from training.stores.shards import OtherPlan, Shards
from training.stores.store import EmbeddingStore, count_kinds


@dataclass(frozen=True, eq=False)
class Batch:
    """n rows to be stored; n may be 0, where no picture of a batch had a face."""

    subject_ids: Sequence[str]
    """n, whose template each row is; subjects are numbered in the order of first appearance."""
    vectors: Floats
    """(n, d) unit rows."""
    kinds: NDArray[np.uint8]
    """(n,) `Kind`."""
    sources: NDArray[np.int32]
    """(n,) number of the picture, 0 or more; copies of a picture share it."""
    quality: Floats
    """(n,) in [0, 1]."""


def _aside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.unfinished")


def remove_leftovers(folder: Path) -> None:
    """Remove what a kill between the last rename and the removal of the shards has left.

    Args:
        folder: of a store that is there.
    """
    shutil.rmtree(_aside(folder), ignore_errors=True)


class StoreWriter:
    """One store in the making, beside the place where it will be.

    Work is cut into batches in a fixed order. After a kill a new writer with the same arguments
    finds the batches that were appended, and `len(writer)` says with which one to go on.
    """

    def __init__(
        self,
        folder: Path,
        *,
        embedder: EmbedderIdentity,
        dimension: int,
        synthetic: bool,
        plan: str,
    ) -> None:
        """Begin, or go on.

        Args:
            folder: where the store will be.
            embedder: that makes the vectors.
            dimension: d.
            synthetic: whether the vectors were drawn rather than made from pictures.
            plan: what decides the batches (inputs, settings, seed), as text or a digest of it.

        Raises:
            StoreInvalid: what was begun there follows another plan.
            FileExistsError: something is there already.
        """
        self.folder = folder
        self.dimension = dimension
        self.embedder = embedder
        self.synthetic = synthetic
        self.aside = _aside(folder)
        """What is begun lies there; `finish` removes it with all that a caller has put beside."""
        if folder.exists():
            remove_leftovers(folder)
            raise FileExistsError(f"{folder} is there already")
        begun = {**vars(embedder), "dimension": dimension, "synthetic": synthetic, "plan": plan}
        try:
            self._shards = Shards(self.aside / "shards", begun)
        except OtherPlan as error:
            raise StoreInvalid(str(error)) from error

    def __len__(self) -> int:
        """Count the batches that are safely written."""
        return len(self._shards)

    def append(self, batch: Batch) -> None:
        """Write the next batch; when this returns, it outlasts a kill.

        Raises:
            StoreInvalid: a value of it can't stand in a store; nothing was written.
        """
        self._check(batch)
        self._shards.append(
            {
                SUBJECTS: np.array(batch.subject_ids, np.str_),
                VECTORS: batch.vectors.astype(COLUMNS[VECTORS]),
                KINDS: batch.kinds.astype(COLUMNS[KINDS]),
                SOURCES: batch.sources.astype(COLUMNS[SOURCES]),
                QUALITY: batch.quality.astype(COLUMNS[QUALITY]),
            }
        )

    def finish(self) -> None:
        """Join the batches, verify the store and move it to its place.

        The bytes depend on the rows alone, not on how they were cut into batches.

        Raises:
            StoreInvalid: there are no subjects, or one has no original picture.
        """
        made = self.aside / "store"
        # A kill may have come in the midst of this.
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        self._join(made)
        EmbeddingStore.open(made, embedder=self.embedder)
        made.rename(self.folder)
        shutil.rmtree(self.aside)

    def _check(self, batch: Batch) -> None:
        where = f"{self.folder}, batch {len(self)}"
        rows = len(batch.subject_ids)
        if batch.vectors.shape != (rows, self.dimension):
            raise StoreInvalid(
                f"{where}: vectors of shape {batch.vectors.shape} for {rows} rows "
                f"and d = {self.dimension}"
            )
        if {len(batch.kinds), len(batch.sources), len(batch.quality)} != {rows}:
            raise StoreInvalid(f"{where}: columns of different lengths")
        if not all(batch.subject_ids):
            raise StoreInvalid(f"{where}: an empty subject id")
        check_vectors(f"{where}, {VECTORS}", batch.vectors)
        check_range(f"{where}, {KINDS}", batch.kinds, min(Kind), max(Kind))
        check_range(f"{where}, {SOURCES}", batch.sources, 0, np.iinfo(np.int32).max)
        check_range(f"{where}, {QUALITY}", batch.quality, 0, 1)

    def _join(self, made: Path) -> None:
        numbers: dict[str, int] = {}
        labels, kinds = [np.empty(0, np.int32)], [np.empty(0, np.uint8)]
        with ExitStack() as stack:
            files = {name: stack.enter_context((made / name).open("wb")) for name in COLUMNS}
            for shard in self._shards:
                ids = shard[SUBJECTS].tolist()
                shard[LABELS] = np.array(
                    [numbers.setdefault(subject, len(numbers)) for subject in ids], COLUMNS[LABELS]
                )
                labels.append(shard[LABELS])
                kinds.append(shard[KINDS])
                for name, file in files.items():
                    file.write(shard[name].tobytes())
            for file in files.values():
                file.flush()
                os.fsync(file.fileno())
        all_labels, all_kinds = np.concatenate(labels), np.concatenate(kinds)
        check_every_subject_has_an_original(self.folder, tuple(numbers), all_labels, all_kinds)
        (made / SUBJECTS).write_text(json.dumps(list(numbers), ensure_ascii=False), "utf-8")
        Manifest(
            embedder=self.embedder,
            dimension=self.dimension,
            synthetic=self.synthetic,
            rows=len(all_labels),
            subjects=len(numbers),
            kinds=count_kinds(all_kinds),
            sha256={name: file_sha256(made / name) for name in (*COLUMNS, SUBJECTS)},
        ).write(made)
