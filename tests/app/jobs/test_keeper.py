"""What a start finds of processes that were killed, and what is looked after while it runs."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import UUID

import pytest
from httpx import AsyncClient

from app.jobs import keeper
from app.repeating import beside, repeat
from app.services import Services
from app.settings import Settings
from tests.app.jobs.conftest import RunElsewhere

Serve = Callable[[Settings], AbstractAsyncContextManager[AsyncClient]]
WriteJob = Callable[..., UUID]


def leave(settings: Settings, job_id: UUID) -> Path:
    """Leave files as a killed retraining does."""
    left = settings.data_dir / "training" / f"{job_id}-0" / "store"
    left.mkdir(parents=True)
    (left / "file").touch()
    return left


async def test_a_start_ends_dead_jobs_and_removes_what_they_left(
    serve: Serve, settings: Settings, client: AsyncClient, write_job: WriteJob
) -> None:
    job_id = write_job("evaluating")
    left = leave(settings, job_id)
    async with serve(settings) as started:
        job = (await started.get(f"/admin/jobs/{job_id}")).json()
        assert (job["state"], job["finished_at"] is None) == ("failed", False)
        assert "service ended while it ran" in job["message"]
        assert not left.exists()


async def test_a_start_leaves_alone_what_another_process_is_at(
    serve: Serve,
    settings: Settings,
    client: AsyncClient,
    write_job: WriteJob,
    run_elsewhere: RunElsewhere,
) -> None:
    job_id = write_job("evaluating")
    left = leave(settings, job_id)
    with run_elsewhere(job_id):
        async with serve(settings) as started:
            job = (await started.get(f"/admin/jobs/{job_id}")).json()
            assert job["state"] == "evaluating"
            assert left.exists()


async def test_jobs_of_other_processes_that_die_are_ended_soon(
    serve: Serve,
    settings: Settings,
    client: AsyncClient,
    write_job: WriteJob,
    run_elsewhere: RunElsewhere,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "LOOK_EVERY_S", 0.1)
    job_id = write_job()

    async def state() -> str:
        job: dict[str, str] = (await started.get(f"/admin/jobs/{job_id}")).json()
        return job["state"]

    with run_elsewhere(job_id):
        async with serve(settings) as started:
            await asyncio.sleep(0.5)
            assert await state() == "running"
    async with serve(settings) as started, asyncio.timeout(10):
        while await state() != "failed":
            await asyncio.sleep(0.1)


async def test_without_torch_nothing_starts_by_itself(
    serve: Serve,
    settings: Settings,
    services: Services,
    subjects: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(keeper, "LOOK_EVERY_S", 0.05)
    due = asyncio.Event()

    async def note(*_: object) -> None:
        due.set()

    monkeypatch.setattr(keeper, "_start_where_due", note)
    settings = settings.model_copy(
        update={"retrain_share": 0.1, "training_python": "/nowhere/python"}
    )
    async with serve(settings):
        await asyncio.sleep(0.5)
    assert not due.is_set()
    assert capsys.readouterr().err.count('"retraining_unavailable"') == 1


async def test_a_step_that_fails_does_not_keep_the_next_from_its_turn(
    services: Services, write_job: WriteJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = asyncio.Event()

    async def fail() -> None:
        raise LookupError

    async def note(*_: object) -> None:
        due.set()

    monkeypatch.setattr(services.jobs, "announce", fail)
    monkeypatch.setattr(keeper, "_start_where_due", note)
    job_id = write_job()
    parts = services.jobs, services.galleries, services.database
    steps = keeper._steps(*parts, 0.1)
    async with beside(repeat(*steps, every_s=60)), asyncio.timeout(10):
        await due.wait()
        # The service's own look may have found it first, and be about to commit that.
        while (await services.jobs.get(job_id)).state != "failed":
            await asyncio.sleep(0.05)
