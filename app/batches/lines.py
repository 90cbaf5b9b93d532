"""NDJSON: one JSON object a line, with pictures in base64."""

import base64
import binascii
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.problems import TooManyEntries
from app.settings import MAX_ENROL_IMAGES
from app.subjects.metadata import ConsentReference, SubjectText

MAX_LINES = 100_000
MAX_LINE_BYTES = 48 * 2**20
"""A line is held in memory, and what it says a second time."""
TOO_LONG = f"The line has more than {MAX_LINE_BYTES // 2**20} MiB; send the pictures in several."
PORTION_BYTES = 1024 * 1024


def _decoded(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("should be base64") from None


PictureBytes = Annotated[bytes, BeforeValidator(_decoded)]


class Person(BaseModel):
    """Who is to be enrolled; a subject of this external id gets the pictures added."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    external_id: SubjectText | None = None
    name: SubjectText | None = None
    metadata: dict[str, Any] | None = None
    consent_reference: ConsentReference | None = None


class PersonLine(Person):
    """A line of an enrolment."""

    images: list[PictureBytes] = Field(min_length=1, max_length=MAX_ENROL_IMAGES)


class ProbeLine(BaseModel):
    """A line of an identification."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    id: SubjectText | None = None
    image: PictureBytes


def lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Read the lines that are not blank; None stands for one that is too long.

    Raises:
        TooManyEntries: there are more than `MAX_LINES`.
    """
    count = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        too_long = len(line) > MAX_LINE_BYTES
        while too_long and not line.endswith(b"\n") and line:
            line = file.readline(PORTION_BYTES)
        if not too_long and not line.strip():
            continue
        count += 1
        if count > MAX_LINES:
            raise TooManyEntries(f"The batch has more than {MAX_LINES:,} lines; send several.")
        yield None if too_long else line


def first_error(error: ValidationError) -> str:
    """Say what is wrong first, without quoting what was sent."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(each) for each in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
