"""The pictures of some subjects -> their rows, several pictures at a time."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.identifier import QueryPath
from training.embedding.faces import (
    Copies,
    PictureRows,
    PictureSkipped,
    SubjectFace,
    rows_of,
    subject_face,
)
from training.embedding.listing import EmbedSettings, ListedSubject
from training.embedding.skipped import Skipped
from training.stores.writer import Batch


@dataclass(frozen=True)
class _Found:
    """One picture with a face."""

    subject: str
    name: str
    number: int
    face: SubjectFace


def embed_batch(
    path: QueryPath, settings: EmbedSettings, subjects: Sequence[ListedSubject], pool: Executor
) -> tuple[Batch, list[Skipped]]:
    """Make the rows of whole subjects, in the order of their pictures.

    Args:
        path: the opened nets.
        settings: which copies are made.
        subjects: of this batch.
        pool: threads; the result does not depend on how many.

    Returns:
        The rows, each picture's original first, and the pictures that gave none.

    Raises:
        OSError: a picture can't be read, and that is not its fault.
    """
    found, skipped = _find_faces(path, subjects, pool)
    work = [
        (each, copies_of(place, len(of_subject), settings))
        for of_subject in found
        for place, each in enumerate(of_subject)
    ]

    def rows(item: tuple[_Found, Copies]) -> PictureRows:
        each, copies = item
        return rows_of(path, each.face, copies, seed=settings.seed, name=each.name)

    made = list(pool.map(rows, work))
    counts = [len(each.kinds) for each in made]
    no_vectors = np.empty((0, path.embedder.manifest.dimension), np.float32)
    batch = Batch(
        subject_ids=[
            each.subject
            for (each, _), count in zip(work, counts, strict=True)
            for _ in range(count)
        ],
        # An array of no rows before the others: there may be no others.
        vectors=np.concatenate([no_vectors, *(each.vectors for each in made)]),
        kinds=np.concatenate([np.empty(0, np.uint8), *(each.kinds for each in made)]),
        sources=np.repeat(np.array([each.number for each, _ in work], np.int32), counts),
        quality=np.concatenate([np.empty(0, np.float32), *(each.quality for each in made)]),
    )
    return batch, skipped


def copies_of(place: int, pictures: int, settings: EmbedSettings) -> Copies:
    """Decide what is made of one picture of a subject beside the original.

    Args:
        place: of the picture among those of the subject that have a face, from 0.
        pictures: those that have one.
        settings: of the run.
    """
    missing = max(settings.few_pictures - pictures, 0)
    return Copies(
        augmented=missing // pictures + (place < missing % pictures),
        degraded=settings.degraded,
        hard=pictures >= settings.hard_from_pictures,
    )


def _find_faces(
    path: QueryPath, subjects: Sequence[ListedSubject], pool: Executor
) -> tuple[list[list[_Found]], list[Skipped]]:
    """The pictures with a face, by subject, and those without."""

    def face(picture: Path) -> SubjectFace | str:
        try:
            return subject_face(path, picture)
        except PictureSkipped as skipped:
            return skipped.reason

    faces = pool.map(face, [picture for subject in subjects for picture in subject.pictures])
    found: list[list[_Found]] = []
    skipped: list[Skipped] = []
    for subject in subjects:
        found.append([])
        for number, picture in enumerate(subject.pictures, start=subject.first):
            name = subject.picture_name(picture)
            result = next(faces)
            if isinstance(result, str):
                skipped.append(Skipped(name, result))
            else:
                found[-1].append(_Found(subject.name, name, number, result))
    return found, skipped
