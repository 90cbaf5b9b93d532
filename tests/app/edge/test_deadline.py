"""Over a real socket: clients that go or wait too long cost nothing, and crowds are survived."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from app.main import create_app
from app.services import Services
from app.settings import Settings
from models.identifier import QueryPath

Picture = Callable[[str], bytes]
WORKERS = 1
QUEUE = 3


@dataclass
class Running:
    """A service behind uvicorn, in this process."""

    app: FastAPI
    address: str
    key: str

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    def client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=None)
        return httpx.AsyncClient(
            base_url=self.address,
            headers={"Authorization": f"Bearer {self.key}"},
            limits=limits,
            timeout=30,
        )

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Keep the one worker busy in the block."""
        gate = threading.Event()
        working = asyncio.create_task(self.services.inference.run(gate.wait, 30))
        await asyncio.sleep(0.01)
        try:
            yield
        finally:
            gate.set()
            await working


@pytest.fixture
async def running(settings: Settings, query_path: QueryPath) -> AsyncIterator[Running]:
    settings = settings.model_copy(
        update={"inference_workers": WORKERS, "inference_queue_limit": QUEUE}
    )
    app = create_app(settings, open_path=lambda _: query_path)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, http="httptools", ws="none", log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        key = (settings.data_dir / "admin.key").read_text().strip()
        yield Running(app, f"http://127.0.0.1:{listener.getsockname()[1]}", key)
        server.should_exit = True
        await serving


def identify_request(client: httpx.AsyncClient, picture: bytes, **headers: str) -> httpx.Request:
    return client.build_request("POST", "/identify", files={"image": picture}, headers=headers)


async def vanish(running: Running, request: httpx.Request) -> None:
    """Send a whole request, and go before it is answered."""
    host, _, port = running.address.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    await request.aread()
    head = f"{request.method} {request.url.raw_path.decode()} HTTP/1.1\r\n".encode()
    head += b"".join(name + b": " + value + b"\r\n" for name, value in request.headers.raw)
    writer.write(head + b"\r\n" + request.content)
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    await writer.wait_closed()


async def test_clients_that_vanish_free_their_places(running: Running, picture: Picture) -> None:
    async with running.client() as client:
        request = identify_request(client, picture("biden"))
        async with running.busy():
            for _ in range(3):
                await asyncio.gather(*(vanish(running, request) for _ in range(QUEUE)))
                await asyncio.sleep(0.1)
            waiting = [asyncio.create_task(client.send(request)) for _ in range(QUEUE)]
            await asyncio.sleep(0.2)
            refused = await client.send(request)
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        for each in waiting:
            assert (await each).status_code == 200


async def test_an_enrolment_of_a_client_that_vanished_leaves_nothing(
    running: Running, picture: Picture, rows: Callable[[], dict[str, int]]
) -> None:
    async with running.client() as client:
        request = client.build_request(
            "POST",
            "/enroll",
            files={"images": picture("biden")},
            headers={"Idempotency-Key": "k-1"},
        )
        async with running.busy():
            await vanish(running, request)
            await asyncio.sleep(0.2)
        assert rows()["subjects"] == 0
        assert (await client.send(request)).status_code == 201
        assert rows()["subjects"] == 1


async def test_what_is_not_begun_in_time_is_503(running: Running, picture: Picture) -> None:
    async with running.client() as client:
        async with running.busy():
            request = identify_request(client, picture("biden"), **{"Cohort-Timeout": "0.2"})
            late = await client.send(request)
            assert (late.status_code, late.json()["code"]) == (503, "deadline_exceeded")
            assert int(late.headers["Retry-After"]) >= 1
        request = identify_request(client, picture("biden"), **{"Cohort-Timeout": "20"})
        assert (await client.send(request)).status_code == 200


@pytest.mark.parametrize("given", ["", "soon", "0", "-1", "nan"])
async def test_a_timeout_that_is_none_is_refused(running: Running, given: str) -> None:
    async with running.client() as client:
        answer = await client.get("/subjects", headers={"Cohort-Timeout": given})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.slow
async def test_a_crowd_is_answered_or_refused_and_nothing_else(
    running: Running, picture: Picture
) -> None:
    async with running.client() as client:
        request = identify_request(client, picture("biden"))
        answers = await asyncio.gather(*(client.send(request) for _ in range(200)))
        counts = Counter(answer.status_code for answer in answers)
        assert set(counts) == {200, 503}
        for answer in answers:
            if answer.status_code == 503:
                assert answer.json()["code"] == "overloaded"
                assert int(answer.headers["Retry-After"]) >= 1
    # On new connections: the old ones may be closed for having been idle meanwhile.
    async with running.client() as client:
        after = [(await client.send(request)).status_code for _ in range(5)]
        assert after == [200] * 5
        assert (await client.get("/readyz")).status_code == 200
