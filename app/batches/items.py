"""The items of a batch in their order: who is to be enrolled, or which picture to be identified."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal

from fastapi import UploadFile
from pydantic import ValidationError

from app.batches.archive import ArchiveFormat, Entry, entries
from app.batches.lines import TOO_LONG, Person, PersonLine, ProbeLine, first_error, lines
from app.settings import MAX_ENROL_IMAGES

Format = ArchiveFormat | Literal["ndjson"]
MAX_ITEM_BYTES = 32 * 2**20
"""Of the pictures of a person in one item; more make several items."""
NO_FOLDER = "The picture lies in no folder, whose name would say whose it is."


@dataclass(frozen=True)
class Picture:
    """One picture of an item."""

    filename: str | None
    size: int
    """In bytes; what is larger than pictures may be was not read."""
    content: bytes = b""

    def as_upload(self) -> UploadFile:
        """Give it as a request would."""
        return UploadFile(io.BytesIO(self.content), size=self.size, filename=self.filename)


@dataclass(frozen=True)
class Item:
    """One item of a batch."""

    position: int
    """Counts from 0; the same whenever the batch is gone through."""
    name: str | None
    """As the upload calls it: the line's id, the folder's name, or the picture's path."""
    pictures: tuple[Picture, ...] = ()
    person: Person | None = None
    """Who is to be enrolled."""
    wrong: str | None = None
    """Why it can't be worked on."""


def items(
    file: BinaryIO,
    archive: Format,
    *,
    size: int,
    enrol: bool,
    max_picture_bytes: int,
    skip: Callable[[int], bool],
) -> Iterator[Item]:
    """Go through the items of an upload.

    Args:
        file: the upload, at its beginning.
        archive: its format.
        size: of it, in bytes.
        enrol: whether the items are people; else they are pictures.
        max_picture_bytes: larger ones are not read.
        skip: tells by their positions which items need no content.

    Raises:
        CorruptArchive, UnsafeArchive, TooManyEntries, UnsupportedArchive: when it comes to it.
    """
    if archive == "ndjson":
        yield from _of_lines(file, enrol, skip)
        return
    pictures = entries(file, archive, size=size, max_picture_bytes=max_picture_bytes)
    if enrol:
        yield from _people(pictures, skip)
    else:
        for position, entry in enumerate(pictures):
            yield Item(position, entry.path, (_picture(entry, skip(position)),))


def _people(pictures: Iterator[Entry], skip: Callable[[int], bool]) -> Iterator[Item]:
    """Put pictures of one folder that follow each other together, unless they are too many."""
    current: Item | None = None
    position = 0
    for entry in pictures:
        folder = entry.path.replace("\\", "/").split("/")[-2:-1]
        name = folder[0] if folder and folder[0] != "." else None
        if current is not None and not _has_room(current, name, entry):
            yield current
            current = None
        if current is None:
            current = _nobody_yet(position, name)
            position += 1
        picture = _picture(entry, skip(current.position))
        current = replace(current, pictures=(*current.pictures, picture))
    if current is not None:
        yield current


def _has_room(item: Item, name: str | None, entry: Entry) -> bool:
    size = sum(picture.size for picture in item.pictures) + entry.size
    return item.name == name and len(item.pictures) < MAX_ENROL_IMAGES and size <= MAX_ITEM_BYTES


def _nobody_yet(position: int, name: str | None) -> Item:
    if name is None:
        return Item(position, None, wrong=NO_FOLDER)
    try:
        person = Person(external_id=name, name=name.replace("_", " "))
    except ValidationError as error:
        return Item(position, name, wrong=first_error(error))
    return Item(position, name, person=person)


def _picture(entry: Entry, skipped: bool) -> Picture:
    return Picture(entry.path, entry.size, b"" if skipped else entry.read())


def _of_lines(file: BinaryIO, enrol: bool, skip: Callable[[int], bool]) -> Iterator[Item]:
    for position, line in enumerate(lines(file)):
        if skip(position):
            yield Item(position, None)
        elif line is None:
            yield Item(position, None, wrong=TOO_LONG)
        else:
            try:
                yield _of_person(position, line) if enrol else _of_probe(position, line)
            except ValidationError as error:
                yield Item(position, None, wrong=first_error(error))


def _of_person(position: int, line: bytes) -> Item:
    person = PersonLine.model_validate_json(line)
    pictures = tuple(Picture(None, len(image), image) for image in person.images)
    return Item(position, person.external_id, pictures, person=person)


def _of_probe(position: int, line: bytes) -> Item:
    probe = ProbeLine.model_validate_json(line)
    return Item(position, probe.id, (Picture(None, len(probe.image), probe.image),))
