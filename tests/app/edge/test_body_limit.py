import asyncio
from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient

from app.edge import body_limit
from app.edge.body_limit import MAX_PLAIN_BODY_BYTES
from app.settings import Settings
from tests.app.conftest import Serve

PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'


async def chunks(first: bytes, count: int) -> AsyncIterator[bytes]:
    """A body whose length nobody knows beforehand."""
    yield first
    for _ in range(count):
        yield bytes(1000)


@pytest.mark.parametrize("path", ["/identify", "/enroll", "/collections", "/nowhere"])
async def test_a_body_that_says_it_is_too_large_is_refused(
    serve: Serve, settings: Settings, path: str
) -> None:
    async with serve(settings.model_copy(update={"max_request_bytes": 5000})) as client:
        answer = await client.post(path, content=bytes(5001))
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("path", "content_type", "first"),
    [
        ("/identify", "multipart/form-data; boundary=x", PART),
        ("/collections", "application/json", b"{"),
    ],
)
async def test_a_body_that_turns_out_too_large_is_refused(
    serve: Serve, settings: Settings, path: str, content_type: str, first: bytes
) -> None:
    async with serve(settings.model_copy(update={"max_request_bytes": 5000})) as client:
        headers = {"Content-Type": content_type}
        answer = await client.post(path, content=chunks(first, 6), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")
        assert answer.headers["X-Request-ID"] == answer.json()["request_id"]
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_without_pictures_may_be_small_only(
    client: AsyncClient, content_type: str | None, declared: bool
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}

    async def send(size: int) -> int:
        body = b"{" + b" " * (size - 1)
        content = body if declared else chunks(body, 0)
        return (await client.post("/collections", content=content, headers=headers)).status_code

    assert await send(MAX_PLAIN_BODY_BYTES) in (400, 422)
    assert await send(MAX_PLAIN_BODY_BYTES + 1) == 413


async def drops(pieces: int, each: int, wait_s: float) -> AsyncIterator[bytes]:
    """A body that takes its time."""
    for _ in range(pieces):
        await asyncio.sleep(wait_s)
        yield b" " * each


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain"]
)
async def test_a_body_that_comes_by_drops_is_refused(
    serve: Serve, settings: Settings, content_type: str
) -> None:
    async with serve(settings.model_copy(update={"body_timeout_s": 0.2})) as client:
        headers = {"Content-Type": content_type}
        answer = await client.post("/collections", content=drops(50, 1, 0.05), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (408, "request_too_slow")
        assert answer.headers["Connection"] == "close"


async def test_a_large_body_may_take_longer(
    serve: Serve, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "SLOWEST_BYTES_PER_S", 500)
    async with serve(settings.model_copy(update={"body_timeout_s": 1.0})) as client:
        answer = await client.post("/collections", content=drops(8, 1000, 0.2))
        assert answer.status_code == 422


async def test_an_answer_may_take_longer_than_a_body(serve: Serve, settings: Settings) -> None:
    async with serve(settings.model_copy(update={"body_timeout_s": 0.01})) as client:
        assert (await client.get("/collections")).status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "x"])
async def test_a_compressed_body_is_not_unpacked(client: AsyncClient, encoding: str) -> None:
    answer = await client.post("/identify", content=b"x", headers={"Content-Encoding": encoding})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding")
