import asyncio
import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from httpx import AsyncClient
from psycopg.types.json import Jsonb

from app.embedded_postgres import EmbeddedPostgres
from app.jobs import events
from app.jobs.events import job_events
from app.jobs.repository import lock_key
from app.jobs.schemas import JobOut
from app.services import Services
from benchmarks.processes import free_port
from tests.app.jobs.conftest import OPTIONS, RunElsewhere
from tests.app.test_durability import Service

WriteJob = Callable[..., UUID]
SetJob = Callable[..., None]


def jobs_in(text: str) -> list[dict[str, Any]]:
    told = []
    for block in text.split("\n\n")[:-1]:
        name, data = block.split("\n")
        assert name == "event: job"
        told.append(json.loads(data.removeprefix("data: ")))
    return told


async def test_a_job_that_is_over_is_told_once(client: AsyncClient, write_job: WriteJob) -> None:
    job_id = write_job("failed")
    answer = await client.get(f"/admin/jobs/{job_id}/events")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["Cache-Control"] == "no-store"
    (told,) = jobs_in(answer.text)
    assert told == (await client.get(f"/admin/jobs/{job_id}")).json()


async def test_each_change_is_told_until_the_last_whichever_process_runs_the_job(
    client: AsyncClient,
    write_job: WriteJob,
    set_job: SetJob,
    run_elsewhere: RunElsewhere,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states: list[str] = []
    event = events.event

    def noted(job: JobOut) -> bytes:
        states.append(job.state)
        return event(job)

    monkeypatch.setattr(events, "event", noted)

    async def until_told(state: str) -> None:
        async with asyncio.timeout(20):
            while state not in states:
                await asyncio.sleep(0.05)

    job_id = write_job("queued")
    with run_elsewhere(job_id):
        following = asyncio.create_task(client.get(f"/admin/jobs/{job_id}/events"))
        await until_told("queued")
        set_job(job_id, state="running", stage="subnets", progress=0.5)
        await until_told("running")
        assert not following.done()
        set_job(job_id, state="rejected", progress=1.0)
        told = jobs_in((await following).text)
    assert [each["state"] for each in told] == ["queued", "running", "rejected"]
    assert told[1]["stage"] == "subnets"


async def test_silence_is_broken_by_comments(
    services: Services,
    write_job: WriteJob,
    run_elsewhere: RunElsewhere,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.1)
    job_id = write_job()
    with run_elsewhere(job_id):
        stream = job_events(await services.jobs.get(job_id), services.jobs)
        assert (await anext(stream)).startswith(b"event: job\n")
        assert await anext(stream) == b": keep-alive\n\n"
        await stream.aclose()


async def test_it_ends_with_the_collection(
    client: AsyncClient, services: Services, write_job: WriteJob, run_elsewhere: RunElsewhere
) -> None:
    job_id = write_job()
    with run_elsewhere(job_id):
        stream = job_events(await services.jobs.get(job_id), services.jobs)
        await anext(stream)
        with psycopg.connect(services.database.address) as connection:
            connection.execute("DELETE FROM collections")
        assert [each async for each in stream] == []


async def test_it_ends_when_the_service_stops(
    services: Services, write_job: WriteJob, run_elsewhere: RunElsewhere
) -> None:
    job_id = write_job()
    with run_elsewhere(job_id):
        stream = job_events(await services.jobs.get(job_id), services.jobs)
        await anext(stream)
        asyncio.get_running_loop().call_later(0.1, services.jobs.stopping.set)
        assert [each async for each in stream] == []


@pytest.mark.slow
def test_an_open_stream_does_not_hold_up_the_end_of_the_service() -> None:
    # Not under pytest's folder, whose rights pytest itself resets.
    data = Path(tempfile.mkdtemp(prefix="cohort-tests-"))
    service = Service(data, free_port())
    postgres = None
    try:
        with service.start() as client:
            postgres = EmbeddedPostgres.start(data / "postgres")
            with psycopg.connect(postgres.url, autocommit=True) as connection:
                job_id = uuid4()
                connection.execute("SELECT pg_advisory_lock(%s)", [lock_key(job_id)])
                connection.execute(
                    "INSERT INTO jobs (id, collection_id, state, progress, message, options,"
                    " metrics, cancel_requested) SELECT %s, id, 'running', 0, '', %s, '{}', false"
                    " FROM collections",
                    [job_id, Jsonb(OPTIONS)],
                )
                with client.stream("GET", f"/admin/jobs/{job_id}/events") as stream:
                    lines = stream.iter_lines()
                    assert next(lines) == "event: job"
                    begun = time.monotonic()
                    service.end(signal.SIGTERM)
                    assert time.monotonic() - begun < 10
                    assert not any(line.startswith("event") for line in lines)
    finally:
        if service.process is not None and service.process.poll() is None:
            service.end(signal.SIGKILL)
        if postgres is not None:
            postgres.stop()
        shutil.rmtree(data)
