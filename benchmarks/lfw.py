"""Labeled Faces in the Wild: its pictures, its pairs, and the open-set protocol made of them."""

from dataclasses import dataclass
from pathlib import Path

DROPPED_KINDS = {"same_photo", "same_person", "mislabelled"}
"""Kinds of label error whose names the open-set protocol drops; twins stay."""
MATED_PROBES = 3


def picture(folder: Path, name: str, number: int) -> Path:
    """The file of a person's picture, counted from 1."""
    return folder / name / f"{name}_{number:04d}.jpg"


@dataclass(frozen=True)
class Pair:
    """Two pictures to be compared."""

    fold: int
    first: Path
    second: Path
    mated: bool


def read_pairs(protocol: Path, folder: Path) -> list[Pair]:
    """Read View 2's `pairs.txt`: ten folds of 300 mated and then 300 non-mated pairs."""
    header, *lines = (protocol / "pairs.txt").read_text().splitlines()
    per_half = int(header.split()[1])
    pairs = []
    for number, line in enumerate(lines):
        fold = number // (2 * per_half)
        match line.split():
            case [name, first, second]:
                pictures = picture(folder, name, int(first)), picture(folder, name, int(second))
                pairs.append(Pair(fold, *pictures, mated=True))
            case [name, first, other, second]:
                pictures = picture(folder, name, int(first)), picture(folder, other, int(second))
                pairs.append(Pair(fold, *pictures, mated=False))
    return pairs


def names_in_error(protocol: Path) -> set[str]:
    """Names that stand for the wrong person, or for one whom another name has too."""
    names = set()
    for line in (protocol / "lfw-same-person.tsv").read_text().splitlines():
        kind, *people = line.split("\t")
        if kind in DROPPED_KINDS:
            names.update(people)
    return names


@dataclass(frozen=True)
class OpenSet:
    """The protocol `lfw-open`: who is enrolled, and who is searched."""

    gallery: dict[str, list[Path]]
    mated: list[tuple[str, Path]]
    non_mated: list[Path]


def open_set(folder: Path, protocol: Path, *, samples: int = 1) -> OpenSet:
    """Enrol the first pictures of people who have more, search with the next and with strangers.

    Args:
        folder: one folder a person.
        protocol: holds `lfw-same-person.tsv`.
        samples: pictures enrolled of each; people with fewer than one more are left out.
    """
    dropped = names_in_error(protocol)
    gallery: dict[str, list[Path]] = {}
    mated: list[tuple[str, Path]] = []
    non_mated: list[Path] = []
    for person in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        if person.name in dropped:
            continue
        pictures = sorted(person.glob("*.jpg"))
        if len(pictures) == 1:
            non_mated += pictures
        elif len(pictures) > samples:
            gallery[person.name] = pictures[:samples]
            probes = pictures[samples : samples + MATED_PROBES]
            mated += [(person.name, probe) for probe in probes]
    return OpenSet(gallery, mated, non_mated)
