"""Retrainings with the real training process, on collections small enough to take seconds."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from psycopg.types.json import Jsonb

from app.jobs import keeper
from app.main import create_app
from app.services import Services
from app.settings import Settings
from models.identifier import QueryPath
from tests.app.bundles.made import CLUSTERS, COMPARISON, make_results
from tests.app.conftest import client_of
from tests.app.jobs.conftest import OPTIONS
from tests.app.populate import drawn_templates, populate

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.timeout(600)]

SUBJECTS, SAMPLES, TARGET_SIZE = 40, 6, 10
WAIT_S = 240.0

Running = Callable[[Settings], AbstractAsyncContextManager[tuple[AsyncClient, Services]]]


@pytest.fixture
def running(query_path: QueryPath) -> Running:
    """Run a service with some settings, on a collection of made-up subjects."""

    @asynccontextmanager
    async def run(settings: Settings) -> AsyncIterator[tuple[AsyncClient, Services]]:
        app = create_app(settings, open_path=lambda _: query_path)
        async with app.router.lifespan_context(app), client_of(app, settings) as client:
            services: Services = app.state.services
            if len(services.galleries.find("default").gallery) == 0:
                await enrol(services, subjects=SUBJECTS, seed=0)
            yield client, services

    return run


async def enrol(services: Services, *, subjects: int, seed: int) -> list[UUID]:
    made = populate(
        services.database.address,
        services.vault,
        subjects=subjects,
        samples=SAMPLES,
        dimension=services.path.embedder.manifest.dimension,
        seed=seed,
    )
    await services.galleries.refresh()
    return made


async def retrain(client: AsyncClient, **options: Any) -> str:
    """Start a retraining; give the job's address."""
    answer = await client.post("/admin/retrain", json={"target_size": TARGET_SIZE} | options)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/admin/jobs/{answer.json()['job_id']}"
    location: str = answer.headers["Location"]
    return location


async def until(
    client: AsyncClient, location: str, reached: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S):
        while True:
            job: dict[str, Any] = (await client.get(location)).json()
            if reached(job):
                return job
            await asyncio.sleep(0.1)


async def ended(client: AsyncClient, location: str) -> dict[str, Any]:
    return await until(client, location, lambda job: job["finished_at"] is not None)


async def trains(client: AsyncClient, location: str) -> dict[str, Any]:
    """Wait until the process is at work."""
    return await until(client, location, lambda job: job["stage"] is not None)


def training_processes(folder: Path) -> list[psutil.Process]:
    """Processes that work for a data directory."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in part for part in process.info["cmdline"] or ())
    ]


def training_folders(settings: Settings) -> list[Path]:
    return list((settings.data_dir / "training").iterdir())


async def assert_nothing_is_left(settings: Settings, *, bundles: int) -> None:
    assert not training_folders(settings)
    async with asyncio.timeout(20):  # processes that were killed take a moment to go
        while training_processes(settings.data_dir):
            await asyncio.sleep(0.1)
    folder = settings.data_dir / "bundles"
    assert len(list(folder.iterdir()) if folder.exists() else []) == bundles


async def test_a_bundle_is_trained_published_searched_with_and_replaced(
    running: Running, settings: Settings
) -> None:
    async with running(settings) as (client, services):
        location = await retrain(client)
        stream = await client.get(f"{location}/events")
        told = [json.loads(line[6:]) for line in stream.text.split("\n") if line[:5] == "data:"]
        assert told[-1]["state"] == "published"
        fractions = [each["progress"] for each in told]
        assert (fractions[-1], fractions) == (1, sorted(fractions))
        assert {"running", "evaluating"} & {each["state"] for each in told}
        first = told[-1]["bundle_id"]
        assert told[-1]["baseline_bundle_id"] is None
        comparison = told[-1]["metrics"]["comparison"]
        assert comparison["probes"] >= SUBJECTS
        assert comparison["new"]["rank1"] > 0.9
        assert services.galleries.find("default").bundle_id == first
        bundle = (await client.get(f"/admin/bundles/{first}")).json()
        assert bundle["manifest"]["counts"]["classes"] == bundle["classes"] == SUBJECTS
        assert bundle["watermark"] == SUBJECTS
        assert "<!doctype html>" in (await client.get(f"/admin/bundles/{first}/report")).text
        await assert_nothing_is_left(settings, bundles=1)

        await enrol(services, subjects=2, seed=1)
        job = await ended(client, await retrain(client))
        assert (job["state"], job["baseline_bundle_id"]) == ("published", first)
        assert services.galleries.find("default").bundle_id == job["bundle_id"] != first
        assert job["metrics"]["comparison"]["baseline"] == "bundle"
        assert (await client.post(f"/admin/bundles/{first}/activate")).status_code == 200
        await assert_nothing_is_left(settings, bundles=2)

        refused = await ended(client, await retrain(client, seed=12345))
        assert refused["state"] == "failed"
        assert "leave --seed out" in refused["message"]
        assert services.galleries.find("default").bundle_id == first
    async with running(settings) as (client, services):
        assert services.galleries.find("default").bundle_id == first


async def test_a_damaged_bundle_does_not_hinder_the_next_one(
    running: Running, settings: Settings
) -> None:
    async with running(settings) as (client, _):
        damaged = (await ended(client, await retrain(client)))["bundle_id"]
    with (settings.data_dir / "bundles" / damaged / "bundle" / "calibration.json").open(
        "a"
    ) as file:
        file.write(" ")
    async with running(settings) as (client, services):
        assert services.galleries.find("default").bundle_id is None
        # Of an unchanged collection comes the very same bundle, which takes its place.
        job = await ended(client, await retrain(client))
        assert (job["state"], job["bundle_id"]) == ("published", damaged), job["message"]
        assert job["baseline_bundle_id"] is None
        assert services.galleries.find("default").bundle_id == damaged
        assert services.bundles.files.is_sound(damaged)
        await assert_nothing_is_left(settings, bundles=1)


async def test_a_bundle_that_is_not_good_enough_is_rejected_with_both_tables(
    running: Running, settings: Settings
) -> None:
    # Nothing is better by more than all there is.
    settings = settings.model_copy(update={"retrain_margin": -1.0})
    async with running(settings) as (client, services):
        job = await ended(client, await retrain(client))
        assert (job["state"], job["bundle_id"]) == ("rejected", None)
        assert job["message"].startswith("Rejected: rank1 ")
        assert {"new", "active"} <= job["metrics"]["comparison"].keys()
        assert services.galleries.find("default").bundle_id is None
        assert (await client.get("/admin/bundles")).json() == {"bundles": []}
    await assert_nothing_is_left(settings, bundles=0)


async def test_a_cancelled_one_ends_within_a_few_seconds(
    running: Running, settings: Settings
) -> None:
    async with running(settings) as (client, _):
        location = await retrain(client)
        await trains(client, location)
        assert training_processes(settings.data_dir)
        assert (await client.delete(location)).status_code == 202
        async with asyncio.timeout(10):
            job = await ended(client, location)
        assert job["state"] == "cancelled"
        await assert_nothing_is_left(settings, bundles=0)
        assert (await client.delete(location)).json()["code"] == "job_finished"


async def test_stopping_the_service_ends_it(running: Running, settings: Settings) -> None:
    async with running(settings) as (client, _):
        location = await retrain(client)
        await trains(client, location)
    await assert_nothing_is_left(settings, bundles=0)
    async with running(settings) as (client, _):
        job = await ended(client, location)
        assert job["state"] == "failed"
        assert "was stopped while it ran" in job["message"]


async def test_one_that_needs_too_much_memory_fails_alone(
    running: Running, settings: Settings
) -> None:
    settings = settings.model_copy(update={"training_memory_bytes": 2**28})
    async with running(settings) as (client, _):
        job = await ended(client, await retrain(client))
        assert job["state"] == "failed"
        assert job["message"].startswith("The training process ")
        assert (await client.get("/readyz")).status_code == 200
    await assert_nothing_is_left(settings, bundles=0)


async def test_it_ends_when_its_collection_is_deleted(
    running: Running, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(settings) as (client, _):
        location = await retrain(client)
        await trains(client, location)
        assert (await client.delete("/collections/default")).status_code == 204
        assert (await client.get(location)).status_code == 404
        logged = ""
        async with asyncio.timeout(30):
            while (
                '"job_gone"' not in logged
                or training_folders(settings)
                or training_processes(settings.data_dir)
            ):
                logged += capsys.readouterr().err
                await asyncio.sleep(0.1)
    logged += capsys.readouterr().err
    assert '"job_ended_by_others"' not in logged


async def test_another_bundle_activated_meanwhile_is_not_replaced(
    running: Running, settings: Settings, tmp_path: Path
) -> None:
    async with running(settings) as (client, services):
        live = services.galleries.find("default")
        location = await retrain(client)
        await trains(client, location)
        embedder = services.path.embedder.manifest
        templates = drawn_templates(SUBJECTS, SAMPLES, dimension=embedder.dimension, seed=0)
        bundle_id = make_results(
            tmp_path / "results",
            sorted(live.labels),
            templates,
            embedder=embedder,
            collection_id=live.collection_id,
            watermark=SUBJECTS,
        )
        fields = {
            "id": bundle_id,
            "watermark": SUBJECTS,
            "classes": SUBJECTS,
            "subnets": CLUSTERS,
            "metrics": {"comparison": COMPARISON},
            "job_id": None,
        }

        async def nothing_more(_session: object) -> None:
            return None

        await services.bundles.publish(
            tmp_path / "results", live.collection_id, fields, nothing_more
        )
        job = await ended(client, location)
        assert job["state"] == "failed"
        assert "Another bundle was activated" in job["message"]
        assert services.galleries.find("default").bundle_id == bundle_id
    await assert_nothing_is_left(settings, bundles=1)


async def test_it_starts_by_itself_when_enough_has_changed(
    running: Running, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "LOOK_EVERY_S", 0.2)

    def jobs_of(services: Services) -> int:
        with psycopg.connect(services.database.address) as connection:
            (count,) = connection.execute("SELECT count(*) FROM jobs").fetchone() or (-1,)
        return int(count)

    settings = settings.model_copy(update={"retrain_share": 0.5})
    async with running(settings) as (client, services):
        async with asyncio.timeout(30):
            while not jobs_of(services):
                await asyncio.sleep(0.1)
        (begun,) = (await client.get("/admin/jobs")).json()["jobs"]
        assert begun["options"]["automatic"]
        job = await ended(client, f"/admin/jobs/{begun['job_id']}")
        assert job["state"] == "published"
        assert services.galleries.find("default").gallery.changed_share == 0
        await asyncio.sleep(1)
        assert jobs_of(services) == 1

        # One that has lately led to nothing is not tried again for as little as that.
        new = 2 * SUBJECTS
        with psycopg.connect(services.database.address) as connection:
            connection.execute(
                "INSERT INTO jobs (id, collection_id, state, progress, message, options, metrics,"
                " cancel_requested) SELECT gen_random_uuid(), id, 'rejected', 1, '', %s, '{}',"
                " false FROM collections",
                [Jsonb(OPTIONS | {"automatic": True, "changed": new})],
            )
        await enrol(services, subjects=new, seed=1)
        assert services.galleries.find("default").gallery.changed_share > 0.5
        await asyncio.sleep(1)
        assert jobs_of(services) == 2
        await enrol(services, subjects=new // 10, seed=2)
        async with asyncio.timeout(30):
            while jobs_of(services) == 2:
                await asyncio.sleep(0.1)


async def test_a_second_service_on_the_database_follows(
    running: Running, settings: Settings, query_path: QueryPath
) -> None:
    async with running(settings) as (client, services):
        other_app: FastAPI = create_app(settings, open_path=lambda _: query_path)
        async with other_app.router.lifespan_context(other_app):
            other: Services = other_app.state.services
            async with client_of(other_app, settings) as other_client:
                location = await retrain(client)
                refused = await other_client.post("/admin/retrain", json={})
                assert refused.json()["code"] == "retraining_runs"
                told = await other_client.get(f"{location}/events")
                assert '"state":"published"' in told.text
                async with asyncio.timeout(10):
                    bundle_id = services.galleries.find("default").bundle_id
                    while other.galleries.find("default").bundle_id != bundle_id:
                        await asyncio.sleep(0.1)
