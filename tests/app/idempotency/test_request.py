"""Two requests are the same one exactly if the same is asked for."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message

from app.idempotency.request import IN_MEMORY_BYTES, SpooledRequest
from app.patience import ClientGone

FORM = "multipart/form-data; boundary="


def form(boundary: str, *parts: tuple[str, bytes]) -> bytes:
    return (
        b"".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
            + content
            + b"\r\n"
            for name, content in parts
        )
        + f"--{boundary}--\r\n".encode()
    )


def request_of(
    body: bytes, *, content_type: str = "application/json", chunk_bytes: int = 1000, **scope: Any
) -> SpooledRequest:
    pieces: Iterator[bytes] = iter(
        [body[start : start + chunk_bytes] for start in range(0, len(body), chunk_bytes)] or [b""]
    )
    left = len(body)

    async def receive() -> Message:
        nonlocal left
        piece = next(pieces, None)
        if piece is None:
            return {"type": "http.disconnect"}
        left -= len(piece)
        return {"type": "http.request", "body": piece, "more_body": left > 0}

    return SpooledRequest(
        {
            "type": "http",
            "method": "POST",
            "path": "/enroll",
            "query_string": b"",
            "headers": [(b"content-type", content_type.encode())],
        }
        | scope,
        receive,
    )


async def digest(body: bytes, **how: Any) -> bytes:
    request = request_of(body, **how)
    try:
        return await request.read()
    finally:
        request.close()


async def test_a_form_is_the_same_with_another_boundary() -> None:
    parts = [("name", b"Ada"), ("images", bytes(range(256)) * 20)]
    first = await digest(form("abc", *parts), content_type=f"{FORM}abc", chunk_bytes=7)
    second = await digest(form("xyz123", *parts), content_type=f"{FORM}xyz123", chunk_bytes=999)
    assert first == second


@pytest.mark.parametrize(
    "parts",
    [
        [("name", b"Ada"), ("images", b"12")],
        [("images", b"123"), ("name", b"Ada")],
        [("name", b"Ada"), ("images", b"123"), ("images", b"")],
        [("nam", b"eAda"), ("images", b"123")],
        [("name", b"Ada"), ("imageS", b"123")],
        [("name", b"Ada")],
    ],
)
async def test_a_form_that_holds_anything_else_is_another(parts: list[tuple[str, bytes]]) -> None:
    one = await digest(form("b", ("name", b"Ada"), ("images", b"123")), content_type=f"{FORM}b")
    assert await digest(form("b", *parts), content_type=f"{FORM}b") != one


async def test_a_form_that_can_not_be_read_is_known_by_its_bytes() -> None:
    one, two = [
        await digest(b"--b\r\nbroken \x00 header\r\n" + rest, content_type=f"{FORM}b")
        for rest in (b"1", b"2")
    ]
    assert one != two


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PATCH"},
        {"path": "/subjects"},
        {"query_string": b"a=1"},
        {"content_type": "text/plain"},
    ],
)
async def test_what_is_asked_for_counts(change: dict[str, Any]) -> None:
    assert await digest(b"{}", **change) != await digest(b"{}")


async def test_a_body_counts_whatever_its_pieces() -> None:
    assert await digest(b"[1,2]", chunk_bytes=1) == await digest(b"[1,2]")
    assert await digest(b"[1,3]") != await digest(b"[1,2]")


@pytest.mark.parametrize("size", [0, 1, IN_MEMORY_BYTES, IN_MEMORY_BYTES + 1, 3 * IN_MEMORY_BYTES])
async def test_the_route_reads_the_whole_body_again(size: int) -> None:
    body = bytes(range(251)) * (size // 251 + 1)
    request = request_of(body[:size], chunk_bytes=100_000)
    await request.read()
    read = bytearray()
    more = True
    while more:
        message = await request.receive()
        read += message["body"]
        more = message["more_body"]
    assert read == body[:size]
    assert await request.receive() == {"type": "http.disconnect"}
    request.close()


async def test_a_client_that_goes_in_the_middle_is_noticed() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    request = SpooledRequest(
        {"method": "POST", "path": "/", "query_string": b"", "headers": []}, receive
    )
    with pytest.raises(ClientGone):
        await request.read()
    request.close()
