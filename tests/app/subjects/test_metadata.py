import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.problems import InvalidMetadata
from app.subjects.metadata import (
    MAX_METADATA_BYTES,
    SubjectText,
    check_metadata,
    parse_metadata,
)


@pytest.mark.parametrize(
    "metadata",
    [{}, {"a": 1}, {"a": {"b": [None, True, 1.5, "ä", "😀"]}}, {"big": 2**70}],
)
def test_objects_are_taken_as_they_are(metadata: dict[str, Any]) -> None:
    assert parse_metadata(json.dumps(metadata)) == metadata


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nul",
        "[]",
        '"text"',
        "7",
        "null",
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e400}',
        '{"a": "\\u0000"}',
        '{"\\u0000": 1}',
        '{"a": "\\udc00"}',
        '{"a": ' + "9" * 5000 + "}",
        '{"a":' * 5000 + "1" + "}" * 5000,
    ],
)
def test_what_can_t_be_kept_is_refused(text: str) -> None:
    with pytest.raises(InvalidMetadata):
        parse_metadata(text)


def test_the_size_is_bounded_in_bytes() -> None:
    fits = {"a": "x" * (MAX_METADATA_BYTES - len('{"a": ""}'))}
    check_metadata(fits)
    with pytest.raises(InvalidMetadata, match="bytes"):
        check_metadata({"a": fits["a"] + "x"})
    with pytest.raises(InvalidMetadata, match="bytes"):
        check_metadata({"a": "ä" * (MAX_METADATA_BYTES // 2)})


@pytest.mark.parametrize("text", ["", "x" * 257, "a\x00", "\ud800"])
def test_texts_that_postgres_can_t_hold(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(SubjectText).validate_python(text)
