"""Batches by workers that are killed, stopped and frozen: nothing is lost, nothing is double."""

import asyncio
import io
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from PIL import Image, ImageEnhance
from pydantic import SecretStr

from app.jobs import keeper
from app.jobs.queue import NO_WORKER
from app.main import create_app
from app.services import Services
from app.settings import Settings
from models.identifier import QueryPath
from tests.app.batches.made import base64_of, ndjson_of, zip_of
from tests.app.jobs.workers import StartWorker, cut_lock, workers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PEOPLE = 40
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
def settings(settings: Settings, redis_url: str) -> Settings:
    return settings.model_copy(update={"redis_url": SecretStr(redis_url)})


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[StartWorker]:
    with workers(tmp_path) as start:
        yield start


@pytest.fixture
async def app(
    settings: Settings, query_path: QueryPath, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FastAPI]:
    monkeypatch.setattr(keeper, "LOOK_EVERY_S", 0.2)
    app = create_app(settings, open_path=lambda _: query_path)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="module")
def pictures(picture: Callable[[str], bytes]) -> list[bytes]:
    """Different pictures, each with one face."""

    def changed(number: int) -> bytes:
        original = Image.open(io.BytesIO(picture(("obama", "biden", "astronaut")[number % 3])))
        content = io.BytesIO()
        ImageEnhance.Brightness(original).enhance(0.8 + number / 100).save(content, "JPEG")
        return content.getvalue()

    return [changed(number) for number in range(PEOPLE)]


@pytest.fixture
async def enrolling(client: AsyncClient, pictures: list[bytes]) -> str:
    """The address of a batch of people without external ids: nothing but the batch keeps them
    from being there twice.
    """
    lines = ndjson_of(*({"images": [base64_of(each)]} for each in pictures))
    answer = await client.post(
        "/enroll/batch", content=lines, headers=NDJSON, params={"allow_conflict": True}
    )
    assert answer.status_code == 202, answer.text
    location: str = answer.headers["Location"]
    return location


async def until(
    client: AsyncClient, location: str, reached: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    async with asyncio.timeout(120):
        while True:
            batch: dict[str, Any] = (await client.get(location)).json()
            if reached(batch):
                return batch
            await asyncio.sleep(0.05)


def is_over(batch: dict[str, Any]) -> bool:
    return batch["finished_at"] is not None


async def assert_all_are_enrolled_once(
    client: AsyncClient, location: str, app: FastAPI
) -> dict[str, Any]:
    batch = await until(client, location, is_over)
    assert (batch["state"], batch["done"], batch["failed"]) == ("done", PEOPLE, 0), batch
    items = (await client.get(f"{location}/items", params={"limit": 1000})).json()["items"]
    assert [each["position"] for each in items] == list(range(PEOPLE))
    services: Services = app.state.services
    with psycopg.connect(services.database.address) as connection:

        def count(table: str) -> int:
            (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (-1,)  # noqa: S608
            return int(found)

        assert count("subjects") == count("samples") == PEOPLE
        assert count("uploads") == 0
    async with asyncio.timeout(10):
        while len(services.galleries.find("default").gallery) < PEOPLE:
            await asyncio.sleep(0.1)
    return (await client.get(f"/admin/jobs/{batch['job_id']}")).json()  # type: ignore[no-any-return]


async def test_killed_workers_cost_nobody_and_double_nobody(
    app: FastAPI,
    client: AsyncClient,
    settings: Settings,
    enrolling: str,
    start_worker: StartWorker,
) -> None:
    batch = await until(client, enrolling, lambda batch: batch["message"] != "")
    assert (batch["state"], batch["message"]) == ("queued", NO_WORKER[False])
    for done in (5, 15):
        worker = start_worker(settings)
        await until(client, enrolling, lambda batch, done=done: batch["done"] >= done)  # type: ignore[misc]
        worker.end(signal.SIGKILL)
    start_worker(settings)
    job = await assert_all_are_enrolled_once(client, enrolling, app)
    assert job["attempts"] == 3


async def test_who_has_lost_a_batch_enrols_nobody_more(
    app: FastAPI,
    client: AsyncClient,
    settings: Settings,
    enrolling: str,
    start_worker: StartWorker,
) -> None:
    frozen = start_worker(settings)
    batch = await until(client, enrolling, lambda batch: batch["done"] >= 5)
    frozen.send(signal.SIGSTOP)
    services: Services = app.state.services
    cut_lock(services.database.address, batch["job_id"])
    start_worker(settings)
    await until(client, enrolling, lambda batch: batch["done"] >= 15)
    frozen.send(signal.SIGCONT)
    await asyncio.to_thread(frozen.wait_until_it_says, "job_lost_to_others")
    job = await assert_all_are_enrolled_once(client, enrolling, app)
    assert job["attempts"] == 2


async def test_a_stopped_worker_gives_a_batch_back(
    app: FastAPI,
    client: AsyncClient,
    settings: Settings,
    enrolling: str,
    start_worker: StartWorker,
) -> None:
    first = start_worker(settings)
    await until(client, enrolling, lambda batch: batch["done"] >= 5)
    assert first.end(signal.SIGTERM) == 0
    assert "Traceback" not in first.said
    batch = (await client.get(enrolling)).json()
    assert (batch["state"], batch["done"] >= 5) == ("queued", True)
    start_worker(settings)
    job = await assert_all_are_enrolled_once(client, enrolling, app)
    assert job["attempts"] == 1


async def test_a_cancelled_batch_keeps_what_is_done(
    app: FastAPI,
    client: AsyncClient,
    settings: Settings,
    enrolling: str,
    start_worker: StartWorker,
) -> None:
    start_worker(settings)
    await until(client, enrolling, lambda batch: batch["done"] >= 5)
    assert (await client.delete(enrolling)).status_code == 202
    batch = await until(client, enrolling, is_over)
    assert batch["state"] == "cancelled"
    assert 5 <= batch["done"] < PEOPLE
    services: Services = app.state.services
    with psycopg.connect(services.database.address) as connection:
        assert connection.execute("SELECT count(*) FROM uploads").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM subjects").fetchone() == (batch["done"],)


async def test_a_batch_of_a_deleted_collection_or_a_revoked_key_ends(
    app: FastAPI, client: AsyncClient, settings: Settings, start_worker: StartWorker, enrolling: str
) -> None:
    services: Services = app.state.services
    with psycopg.connect(services.database.address) as connection:
        connection.execute("UPDATE jobs SET key_id = 'gone'")
        connection.execute(
            "INSERT INTO api_keys (id, name, token_sha256, scopes, revoked_at)"
            " VALUES ('gone', 'gone', '', '{enroll}', now())"
        )
    start_worker(settings)
    batch = await until(client, enrolling, is_over)
    assert (batch["state"], batch["done"]) == ("failed", 0)
    assert "revoked" in batch["message"]
    assert (await client.delete("/collections/default")).status_code == 204
    assert (await client.get(enrolling)).status_code == 404


async def test_identifications_go_on_where_they_were(
    client: AsyncClient, settings: Settings, start_worker: StartWorker, pictures: list[bytes]
) -> None:
    archive = zip_of({f"{number:02}.jpg": each for number, each in enumerate(pictures)})
    answer = await client.post("/identify/batch", files={"archive": ("a.zip", archive)})
    location = answer.headers["Location"]
    worker = start_worker(settings)
    await until(client, location, lambda batch: batch["done"] >= 5)
    worker.end(signal.SIGKILL)
    start_worker(settings)
    batch = await until(client, location, is_over)
    assert (batch["state"], batch["done"], batch["failed"]) == ("done", PEOPLE, 0)
    items = (await client.get(f"{location}/items", params={"limit": 1000})).json()["items"]
    assert [each["id"] for each in items] == [f"{number:02}.jpg" for number in range(PEOPLE)]
    assert {face["decision"] for each in items for face in each["faces"]} == {"unknown"}
