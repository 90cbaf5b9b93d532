import json
from collections.abc import Callable
from typing import Any

import pytest
from httpx import AsyncClient, Response
from pydantic import TypeAdapter, ValidationError

from app.problems import InvalidMetadata
from app.subjects.metadata import (
    MAX_METADATA_BYTES,
    MAX_METADATA_DEPTH,
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


def nested(levels: int, *, lists: bool = False) -> dict[str, Any]:
    """An object of so many levels, of which it is the outermost."""
    metadata: Any = {}
    for _ in range(levels - 2):
        metadata = [0, metadata] if lists else {"a": metadata, "b": 0}
    return {"a": metadata}


@pytest.mark.parametrize("lists", [False, True])
def test_the_depth_is_bounded(lists: bool) -> None:
    for levels in (31, MAX_METADATA_DEPTH):
        check_metadata(nested(levels, lists=lists))
    for levels in (MAX_METADATA_DEPTH + 1, 300):
        with pytest.raises(InvalidMetadata, match="deep"):
            check_metadata(nested(levels, lists=lists))


async def test_what_is_stored_can_be_read_again(
    client: AsyncClient, picture: Callable[[str], bytes], rows: Callable[[], dict[str, int]]
) -> None:
    files = {"images": ("x.jpg", picture("obama"))}

    async def enrol(levels: int) -> Response:
        data = {"metadata": json.dumps(nested(levels))}
        return await client.post("/enroll", files=files, data=data)

    before = rows()
    for levels in (33, 300):
        refused = await enrol(levels)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_metadata")
    assert rows() == before

    path = f"/subjects/{(await enrol(31)).json()['subject']['subject_id']}"
    assert (await client.get(path)).json()["metadata"] == nested(31)
    for levels in (33, 300):
        refused = await client.patch(path, json={"metadata": nested(levels)})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_metadata")
    assert (await client.get(path)).json()["metadata"] == nested(31)
    changed = await client.patch(path, json={"metadata": nested(32)})
    assert changed.json()["metadata"] == nested(32)
