"""Texts and metadata of a subject: what Postgres and JSON can both hold."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from app.problems import InvalidMetadata

MAX_METADATA_BYTES = 16 * 1024
MAX_METADATA_DEPTH = 32
"""Objects and arrays within one another, the outermost counted. Deeper ones could be stored, but
an answer that holds them can't be written."""


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not hold the character U+0000")
    return text


_NO_NUL = Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})

SubjectText = Annotated[
    str, StringConstraints(min_length=1, max_length=256), AfterValidator(_without_nul), _NO_NUL
]
"""A name or an external id. Postgres can't hold U+0000; 256 characters fit into an index."""

ConsentReference = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(_without_nul), _NO_NUL
]
"""Where a subject's consent is on file, such as a number of a contract: free text."""


def parse_metadata(text: str) -> dict[str, Any]:
    """Read the metadata of a form.

    Raises:
        InvalidMetadata: it is no JSON object, or one that can't be kept.
    """
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError):
        # ValueError: no JSON, or a number with thousands of digits.
        raise InvalidMetadata("`metadata` is not valid JSON.") from None
    if not isinstance(metadata, dict):
        raise InvalidMetadata('`metadata` must be a JSON object, like `{"door": 3}`.')
    check_metadata(metadata)
    return metadata


def check_metadata(metadata: dict[str, Any]) -> None:
    """Check that metadata can be stored and given back as it is.

    Raises:
        InvalidMetadata: it is too large or too deep, or holds what JSON or Postgres have no way
            to write.
    """
    _check_depth(metadata)
    try:
        text = json.dumps(metadata, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (ValueError, RecursionError):
        # ValueError: NaN, Infinity, or half of a surrogate pair.
        raise InvalidMetadata("`metadata` holds a value that JSON can't express.") from None
    if size > MAX_METADATA_BYTES:
        raise InvalidMetadata(f"`metadata` has {size} bytes; {MAX_METADATA_BYTES} are allowed.")
    if "\\u0000" in text:
        raise InvalidMetadata("`metadata` must not hold the character U+0000.")


def _check_depth(metadata: dict[str, Any]) -> None:
    # Level by level, not by recursion, which would itself fail on what is to be refused.
    level: list[Any] = [metadata]
    for _ in range(MAX_METADATA_DEPTH):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
    if level:
        raise InvalidMetadata(
            f"`metadata` is nested too deeply; {MAX_METADATA_DEPTH} levels are allowed."
        )
