"""Labeled Faces in the Wild: its pictures, its pairs, and the open-set protocol made of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

DROPPED_KINDS = {"same_photo", "same_person", "mislabelled"}
"""Kinds of label error whose names the open-set protocol drops; twins stay."""
MATED_PROBES = 3
TARGET_SIZE = 200
"""Subjects a cluster that retrainings are asked for: by default LFW's people would be one cluster,
and there would be nothing to route."""
MOST_ENROLLED = 20
"""Pictures that one call to enrol takes."""


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


def usable_people(folder: Path, protocol: Path) -> dict[str, list[Path]]:
    """Everybody whose name is right, with all pictures; both sorted.

    Args:
        folder: one folder a person.
        protocol: holds `lfw-same-person.tsv`.
    """
    dropped = names_in_error(protocol)
    people = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    return {
        person.name: sorted(person.glob("*.jpg")) for person in people if person.name not in dropped
    }


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
    gallery: dict[str, list[Path]] = {}
    mated: list[tuple[str, Path]] = []
    non_mated: list[Path] = []
    for name, pictures in usable_people(folder, protocol).items():
        if len(pictures) == 1:
            non_mated += pictures
        elif len(pictures) > samples:
            gallery[name] = pictures[:samples]
            probes = pictures[samples : samples + MATED_PROBES]
            mated += [(name, probe) for probe in probes]
    return OpenSet(gallery, mated, non_mated)


@dataclass(frozen=True)
class Halves:
    """Who is trained with, who is enrolled live, and who is searched."""

    trained: dict[str, list[Path]]
    live: dict[str, list[Path]]
    probes: dict[str, list[Path]]
    """Of everybody in both halves, at least one."""
    non_mated: list[Path]


def halves(folder: Path, protocol: Path, *, seed: int) -> Halves:
    """Split the people with several pictures at random into two halves.

    Enrolled is the first half of a person's pictures, rounded up, `MOST_ENROLLED` at most; the
    next three are probes. Strangers are the people with one picture.

    Args:
        folder: one folder a person.
        protocol: holds `lfw-same-person.tsv`.
        seed: of the lots.
    """
    enrolled: dict[str, list[Path]] = {}
    probes: dict[str, list[Path]] = {}
    non_mated: list[Path] = []
    for name, pictures in usable_people(folder, protocol).items():
        if len(pictures) == 1:
            non_mated += pictures
            continue
        count = min((len(pictures) + 1) // 2, MOST_ENROLLED)
        enrolled[name] = pictures[:count]
        probes[name] = pictures[count : count + MATED_PROBES]
    names = sorted(enrolled)
    lots = np.random.default_rng(seed).permutation(len(names))
    first = {names[lot] for lot in lots[: len(names) // 2]}
    return Halves(
        {name: enrolled[name] for name in names if name in first},
        {name: enrolled[name] for name in names if name not in first},
        probes,
        non_mated,
    )
