"""Take a batch's upload in: a form with an archive, or NDJSON as it is."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO, NamedTuple, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from app.batches.archive import format_of
from app.batches.items import Format
from app.problems import UnsupportedArchive
from app.temporary import written_aside

Options = TypeVar("Options", bound=BaseModel)

NDJSON = "application/x-ndjson"
FORM = "multipart/form-data"
ARCHIVE = "archive"
HEAD_BYTES = 512
IN_MEMORY_BYTES = 1024 * 1024
"""More of it goes to a file without a name, which the system removes whatever happens."""


class Received(NamedTuple):
    """An upload that has come."""

    file: BinaryIO
    format: Format
    fields: dict[str, str]
    """Of the form, or of the query."""


@asynccontextmanager
async def received(request: Request) -> AsyncIterator[Received]:
    """Take an upload in for the block.

    Raises:
        UnsupportedArchive: it is neither a form nor NDJSON, or the archive is none.
        RequestValidationError: the form has no archive.
        StorageUnavailable: there is no room for it.
    """
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    fields = dict(request.query_params)
    if kind == NDJSON:
        with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as file:
            async for portion in request.stream():
                with written_aside():
                    file.write(portion)
            file.seek(0)
            yield Received(file, "ndjson", fields)  # type: ignore[arg-type]
    elif kind == FORM:
        with written_aside():
            form = await request.form(max_files=1, max_fields=20)
        try:
            archive = form.get(ARCHIVE)
            if not isinstance(archive, UploadFile):
                raise RequestValidationError(
                    [{"loc": ("body", ARCHIVE), "msg": "should be a file", "type": "missing"}]
                )
            fields |= {name: value for name, value in form.multi_items() if isinstance(value, str)}
            file_format = format_of(archive.file.read(HEAD_BYTES))
            archive.file.seek(0)
            yield Received(archive.file, file_format, fields)
        finally:
            await form.close()
    else:
        raise UnsupportedArchive(f"Send {FORM} with the file `{ARCHIVE}`, or {NDJSON}.")


def read_options(kind: type[Options], fields: dict[str, str]) -> Options:
    """Read the options of a batch.

    Raises:
        RequestValidationError: one is unknown, or has no valid value.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(
            [each | {"loc": ("body", *each["loc"])} for each in error.errors()]
        ) from None
