"""The list of pictures that gave no template, and why."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from training.stores.shards import write_whole


@dataclass(frozen=True)
class Skipped:
    """One picture that gave no template."""

    picture: str
    """`SUBJECT/FILE`."""
    reason: str
    """`no_face`, `not_readable`, or the code of a `PictureRefused`."""


HEADER = ("picture", "reason")


def write_skipped(path: Path, pictures: Iterable[Skipped]) -> None:
    """Write a CSV file whole, or leave what was there."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(HEADER)
    rows.writerows((each.picture, each.reason) for each in pictures)
    write_whole(path, text.getvalue().encode())


def read_skipped(path: Path) -> tuple[Skipped, ...]:
    """Read what `write_skipped` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    return tuple(Skipped(picture, reason) for picture, reason in rows)
