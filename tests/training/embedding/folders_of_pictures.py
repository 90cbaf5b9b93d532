"""Folders of pictures for tests, made from those of tests/data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import copy

DATA = Path(__file__).parents[2] / "data"

PEOPLE = {
    "Astronaut": ["astronaut"],
    "Biden": ["biden", "biden"],
    "Cat": ["cat"],
    "Obama": ["obama", "obama2", "obama3", "obama", "obama2"],
}
"""Of the cat no picture gives a face."""


def picture_folders(images: Path, people: Mapping[str, Sequence[str]]) -> Path:
    """Make one folder a subject, its pictures named 0.jpg, 1.jpg and so on."""
    for subject, names in people.items():
        (images / subject).mkdir(parents=True)
        for number, name in enumerate(names):
            copy(DATA / f"{name}.jpg", images / subject / f"{number}.jpg")
    return images
