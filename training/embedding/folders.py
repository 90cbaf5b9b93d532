"""Folders of pictures, one a subject -> an embedding store.

Subjects are worked on in batches. After a kill the same call goes on with the first batch that is
not there, and what it makes has the same bytes.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.identifier import QueryPath
from models.runtime import configure_threads
from models.zoo import read_manifest
from training.embedding.batches import embed_batch
from training.embedding.listing import (
    FEWEST_SUBJECTS,
    EmbedSettings,
    ListedSubject,
    PicturesUnusable,
    batches_of,
    counted_subjects,
    listed_subjects,
    plan_digest,
)
from training.embedding.skipped import Skipped, read_skipped, write_skipped
from training.stores.format import EmbedderIdentity
from training.stores.shards import write_whole
from training.stores.store import EmbeddingStore
from training.stores.writer import StoreWriter, remove_leftovers

SKIPPED = "embed-skipped.csv"
"""Beside the store: the pictures that gave no template."""
MADE_FROM = "embed.json"
"""Beside the store: what it was made from."""


@dataclass(frozen=True)
class EmbedSummary:
    """What a store was made of."""

    subjects: int
    pictures: int
    """That gave a template."""
    rows: dict[str, int]
    """Of each kind, by its name in lower case."""
    skipped: dict[str, int]
    """Pictures that gave none, by the reason."""
    left_out: tuple[str, ...]
    """Subjects of whom no picture gave one."""


def embed_folder(
    images: Path,
    folder: Path,
    *,
    embedder_manifest: Path,
    settings: EmbedSettings,
    min_images: int = 1,
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> EmbedSummary:
    """Make the store, go on with it, or find that it is there.

    Beside it are written `SKIPPED` and `MADE_FROM`.

    Args:
        images: holds one folder a subject; the subject of a picture is the face nearest to its
            centre.
        folder: where the store will be.
        embedder_manifest: of the embedder.
        settings: which copies are made.
        min_images: subjects with fewer pictures are left out.
        workers: pictures worked on at a time, as many as there are processors if None; the
            result does not depend on it.
        progress: called with the number of pictures done and that of all: once at the beginning,
            and after each batch.

    Raises:
        PicturesUnusable: there is no such folder, or fewer than two subjects with a face in it.
        ManifestInvalid: the embedder's files do not hold together.
        StoreInvalid: what was begun there has other pictures or settings, or a file is damaged.
        FileExistsError: so has a finished store.
        OSError: a file can't be read or written. What was finished stays, here as above.
    """
    subjects = listed_subjects(images, min_images=min_images)
    manifest = read_manifest(embedder_manifest)
    embedder = EmbedderIdentity(manifest.name, manifest.sha256)
    plan = plan_digest(subjects, settings, embedder)
    total = sum(len(subject.pictures) for subject in subjects)
    if folder.exists():
        _check_made_from(folder, plan)
        remove_leftovers(folder)
        progress(total, total)
        return _summary(subjects, folder)
    writer = StoreWriter(
        folder, embedder=embedder, dimension=manifest.dimension, synthetic=False, plan=plan
    )
    batches = batches_of(subjects)
    done = sum(len(subject.pictures) for batch in batches[: len(writer)] for subject in batch)
    progress(done, total)
    # One thread within each worker: several pictures at a time use the processors better.
    with ThreadPoolExecutor(
        workers or os.cpu_count(), initializer=configure_threads, initargs=(1,)
    ) as pool:
        path = QueryPath.open(embedder_manifest)
        for number, batch in enumerate(batches[len(writer) :], start=len(writer)):
            rows, skipped = embed_batch(path, settings, batch, pool)
            # Before the rows: whoever goes on after them finds it.
            write_skipped(_skipped_of_batch(writer, number), skipped)
            writer.append(rows)
            done += sum(len(subject.pictures) for subject in batch)
            progress(done, total)
    all_skipped = [
        each
        for number in range(len(batches))
        for each in read_skipped(_skipped_of_batch(writer, number))
    ]
    write_skipped(folder.with_name(SKIPPED), all_skipped)
    kept = len(subjects) - len(_left_out(subjects, all_skipped))
    if kept < FEWEST_SUBJECTS:
        # Nothing to go on with: other pictures may be given for the same place.
        shutil.rmtree(writer.aside)
        raise PicturesUnusable(
            f"{images}: {counted_subjects(kept)} with a face where at "
            f"least {FEWEST_SUBJECTS} are needed; {folder.with_name(SKIPPED)} lists the "
            "pictures without"
        )
    write_whole(folder.with_name(MADE_FROM), json.dumps({"plan": plan}).encode())
    writer.finish()
    return _summary(subjects, folder)


def _skipped_of_batch(writer: StoreWriter, number: int) -> Path:
    return writer.aside / f"skipped-{number:06}.csv"


def _check_made_from(folder: Path, plan: str) -> None:
    path = folder.with_name(MADE_FROM)
    if not path.is_file() or json.loads(path.read_bytes()) != {"plan": plan}:
        raise FileExistsError(
            f"{folder}: is there already, made from other pictures or settings; remove it or "
            "choose another place"
        )


def _left_out(subjects: Sequence[ListedSubject], skipped: Sequence[Skipped]) -> tuple[str, ...]:
    counts = Counter(each.picture.rpartition("/")[0] for each in skipped)
    return tuple(each.name for each in subjects if counts[each.name] == len(each.pictures))


def _summary(subjects: Sequence[ListedSubject], folder: Path) -> EmbedSummary:
    skipped = read_skipped(folder.with_name(SKIPPED))
    store = EmbeddingStore.open(folder)
    return EmbedSummary(
        subjects=store.manifest.subjects,
        pictures=int(np.count_nonzero(store.originals)),
        rows=store.manifest.kinds,
        skipped=dict(sorted(Counter(each.reason for each in skipped).items())),
        left_out=_left_out(subjects, skipped),
    )
