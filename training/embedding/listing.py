"""What is to be embedded: the subjects of a folder, their pictures numbered, cut into batches."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from training.embedding.pictures import SUFFIXES, chosen_pictures
from training.stores.format import EmbedderIdentity

BATCH_PICTURES = 64
"""Pictures a batch at least: what a kill costs, some seconds of work."""
FEWEST_SUBJECTS = 2


class PicturesUnusable(ValueError):
    """A folder of pictures can't be trained on; the message says why."""


@dataclass(frozen=True)
class EmbedSettings:
    """Which rows are made beside those of the pictures as they are."""

    degraded: int = 3
    """Degraded copies of each picture."""
    few_pictures: int = 3
    """Subjects with fewer pictures get augmented copies, up to this count."""
    hard_from_pictures: int = 5
    """Subjects with at least so many pictures can give some to testing, so theirs get the hard
    probes."""
    seed: int = 0
    """At least 0."""


@dataclass(frozen=True)
class ListedSubject:
    """One subject and its pictures."""

    name: str
    pictures: tuple[Path, ...]
    first: int
    """Number of the first of them among all pictures; the others follow."""

    def picture_name(self, picture: Path) -> str:
        return f"{self.name}/{picture.name}"


def listed_subjects(images: Path, *, min_images: int) -> tuple[ListedSubject, ...]:
    """List subjects and pictures in the order of their names.

    Args:
        images: holds one folder a subject.
        min_images: subjects with fewer pictures are not listed.

    Raises:
        PicturesUnusable: there is no such folder, a name is not UTF-8, or fewer than two subjects
            have pictures.
    """
    if not images.is_dir():
        raise PicturesUnusable(f"{images}: there is no such folder")
    subjects: list[ListedSubject] = []
    first = 0
    for name, pictures in chosen_pictures(images, min_images=min_images).items():
        subject = ListedSubject(name, tuple(pictures), first)
        for picture in pictures:
            _check_name(subject.picture_name(picture), images)
        subjects.append(subject)
        first += len(pictures)
    if len(subjects) < FEWEST_SUBJECTS:
        enough = "pictures" if min_images <= 1 else f"{min_images} or more pictures"
        raise PicturesUnusable(
            f"{images}: {counted_subjects(len(subjects))} with {enough} "
            f"({', '.join(sorted(SUFFIXES))}) where at least {FEWEST_SUBJECTS} are needed; it must "
            "hold one folder a subject"
        )
    return tuple(subjects)


def counted_subjects(count: int) -> str:
    """Say how many subjects there are."""
    return "1 subject" if count == 1 else f"{count} subjects"


def _check_name(name: str, images: Path) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise PicturesUnusable(f"{images}: the name {name!r} is not UTF-8; rename it") from error


def batches_of(subjects: tuple[ListedSubject, ...]) -> tuple[tuple[ListedSubject, ...], ...]:
    """Cut into batches of whole subjects: how many of their pictures have a face decides copies."""
    batches: list[tuple[ListedSubject, ...]] = []
    batch: list[ListedSubject] = []
    for subject in subjects:
        batch.append(subject)
        if sum(len(each.pictures) for each in batch) >= BATCH_PICTURES:
            batches.append(tuple(batch))
            batch = []
    return (*batches, tuple(batch)) if batch else tuple(batches)


def plan_digest(
    subjects: tuple[ListedSubject, ...], settings: EmbedSettings, embedder: EmbedderIdentity
) -> str:
    """SHA-256 of all that decides the batches; of the pictures' contents, only the sizes."""
    pictures = [
        (subject.picture_name(picture), picture.stat().st_size)
        for subject in subjects
        for picture in subject.pictures
    ]
    plan = {
        "pictures": pictures,
        "settings": asdict(settings),
        "embedder": asdict(embedder),
        "batch_pictures": BATCH_PICTURES,
    }
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
