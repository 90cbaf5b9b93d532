import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app.cli import protocol
from app.cli.protocol import GuardedProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
TIMEOUT_S = 0.4
"""Of a head that does not end. Whoever comes to an end has the time that there is outside."""
LONG_S = 10.0
"""By when a connection is cut off even on a busy machine; without that time-out it never is."""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the size of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", TIMEOUT_S)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(
        echo, port=0, http=GuardedProtocol, ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


async def connect(port: int) -> Connection:
    return await asyncio.open_connection("127.0.0.1", port)


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
    return await reader.readexactly(length)


async def closed(reader: asyncio.StreamReader) -> None:
    """Wait until the other side has closed."""
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), LONG_S) == b""


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost:"])
async def test_who_does_not_come_to_the_end_of_the_headers_is_cut_off(
    impatient: None, port: int, sent: bytes
) -> None:
    reader, writer = await connect(port)
    writer.write(sent)
    await closed(reader)
    writer.close()


async def test_drops_do_not_lengthen_the_time(impatient: None, port: int) -> None:
    reader, writer = await connect(port)
    writer.write(REQUEST)
    await answer(reader)
    writer.write(b"GET / HTTP/1.1\r\n")
    async with asyncio.timeout(LONG_S):
        while not (reader.at_eof() or reader.exception()):
            writer.write(b"x: y\r\n")
            with suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(0.05)
    writer.close()


@pytest.mark.parametrize("line", [b"x: " + b"y" * 1000 + b"\r\n", b"y" * 1000])
async def test_endless_headers_are_cut_off(port: int, line: bytes) -> None:
    reader, writer = await connect(port)
    writer.write(b"GET / HTTP/1.1\r\nz: ")
    sent = 0
    with suppress(ConnectionError):
        while not reader.at_eof() and sent < 10_000_000:
            writer.write(line)
            sent += len(line)
            await writer.drain()
            await asyncio.sleep(0)
    assert sent < 5_000_000
    writer.close()


async def test_an_endless_trailer_is_cut_off(port: int) -> None:
    reader, writer = await connect(port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nz: ")
    sent = 0
    with suppress(ConnectionError):
        while not reader.at_eof() and sent < 10_000_000:
            writer.write(bytes(1000).replace(b"\0", b"y"))
            sent += 1000
            await writer.drain()
            await asyncio.sleep(0)
    assert sent < 5_000_000
    writer.close()


async def test_a_body_may_come_in_the_smallest_chunks(port: int) -> None:
    reader, writer = await connect(port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")
    assert await answer(reader) == b"50000"
    writer.write(REQUEST)
    assert await answer(reader) == b"0"
    writer.close()


async def test_others_are_served_again_and_again(port: int) -> None:
    reader, writer = await connect(port)
    for size in (0, 10, 300_000, 0):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(bytes(size))
        assert await answer(reader) == str(size).encode()
    # Two at once, and one in pieces.
    writer.write(REQUEST * 2)
    assert [await answer(reader), await answer(reader)] == [b"0", b"0"]
    for start in range(0, len(REQUEST), 5):
        writer.write(REQUEST[start : start + 5])
        await asyncio.sleep(0.01)
    assert await answer(reader) == b"0"
    writer.close()


async def test_a_body_may_take_longer_than_a_head(impatient: None, port: int) -> None:
    reader, writer = await connect(port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
    for _ in range(10):
        await asyncio.sleep(TIMEOUT_S / 5)
        writer.write(b"x")
    assert await answer(reader) == b"10"
    # Nor is a connection cut off that waits for its next request.
    await asyncio.sleep(TIMEOUT_S * 1.5)
    writer.write(REQUEST)
    assert await answer(reader) == b"0"
    writer.close()
