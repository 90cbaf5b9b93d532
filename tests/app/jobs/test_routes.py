import asyncio
from collections.abc import Callable
from uuid import UUID, uuid4

import psycopg
import pytest
from httpx import AsyncClient

from app.jobs import keeper
from app.jobs.leftovers import end_dead_jobs
from app.keys.service import create_key
from app.services import Services
from app.settings import Settings
from tests.app.jobs.conftest import RunElsewhere

WriteJob = Callable[..., UUID]
SetJob = Callable[..., None]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"training_python": "/nowhere/python"})


@pytest.fixture(autouse=True)
def look_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the service look after dead jobs as it starts, and not again."""
    monkeypatch.setattr(keeper, "LOOK_EVERY_S", 3600)


async def state_of(client: AsyncClient, job_id: UUID) -> tuple[str, str]:
    job = (await client.get(f"/admin/jobs/{job_id}")).json()
    return job["state"], job["message"]


async def test_a_collection_of_one_is_not_trained_on(client: AsyncClient) -> None:
    answer = await client.post("/admin/retrain", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_few_subjects")


async def test_without_torch_it_says_what_to_do(client: AsyncClient, subjects: list[UUID]) -> None:
    answer = await client.post("/admin/retrain", json={"collection": "default"})
    assert (answer.status_code, answer.json()["code"]) == (503, "training_unavailable")
    assert "`make setup-training`" in answer.json()["detail"]
    assert "/nowhere/python" in answer.json()["detail"]
    assert (await client.get("/admin/jobs")).json() == {"jobs": []}


@pytest.mark.parametrize(
    "body",
    [
        {"collection": 7},
        {"full": "yes"},
        {"target_size": 1},
        {"target_size": "20"},
        {"seed": -1},
        {"seed": 2**31},
        {"more": 1},
    ],
)
async def test_options_that_can_not_be(client: AsyncClient, body: dict[str, object]) -> None:
    answer = await client.post("/admin/retrain", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_an_unknown_collection(client: AsyncClient) -> None:
    for answer in (
        await client.post("/admin/retrain", json={"collection": "nobodys"}),
        await client.get("/admin/jobs", params={"collection": "nobodys"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "collection_not_found")


async def test_one_at_a_time(
    client: AsyncClient, subjects: list[UUID], write_job: WriteJob, run_elsewhere: RunElsewhere
) -> None:
    job_id = write_job()
    with run_elsewhere(job_id):
        answer = await client.post("/admin/retrain", json={})
        assert (answer.status_code, answer.json()["code"]) == (409, "retraining_runs")
        assert answer.json()["job"]["job_id"] == str(job_id)
        assert answer.json()["job"]["state"] == "running"


async def test_a_job_whose_process_has_died_is_in_nobodys_way(
    client: AsyncClient, subjects: list[UUID], write_job: WriteJob
) -> None:
    job_id = write_job("evaluating")
    async with asyncio.timeout(20):
        # The service's own look may have found it first, and be about to commit that.
        while (answer := await client.post("/admin/retrain", json={})).status_code == 409:
            await asyncio.sleep(0.05)
    assert answer.json()["code"] == "training_unavailable"
    state, message = await state_of(client, job_id)
    assert state == "failed"
    assert "the service ended while it ran" in message.lower()


async def test_a_job_that_died_right_after_it_had_published_has_published(
    client: AsyncClient, services: Services, write_job: WriteJob, set_job: SetJob
) -> None:
    job_id = write_job("evaluating")
    set_job(job_id, bundle_id="0" * 64, message="Published.")
    await end_dead_jobs(services.database)
    # The service's own look may have found it first, and be about to commit that.
    async with asyncio.timeout(20):
        while (await state_of(client, job_id))[0] == "evaluating":
            await asyncio.sleep(0.05)
    assert await state_of(client, job_id) == ("published", "Published.")


async def test_a_job_that_runs_elsewhere_is_asked_to_end(
    client: AsyncClient, services: Services, write_job: WriteJob, run_elsewhere: RunElsewhere
) -> None:
    job_id = write_job()
    with run_elsewhere(job_id):
        answer = await client.delete(f"/admin/jobs/{job_id}")
        assert (answer.status_code, answer.json()["state"]) == (202, "running")
        with psycopg.connect(services.database.address) as connection:
            assert connection.execute("SELECT cancel_requested FROM jobs").fetchone() == (True,)


@pytest.mark.parametrize("state", ["published", "rejected", "failed", "cancelled"])
async def test_a_job_that_is_over_is_not_cancelled(
    client: AsyncClient, write_job: WriteJob, state: str
) -> None:
    job_id = write_job(state)
    answer = await client.delete(f"/admin/jobs/{job_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_finished")
    assert answer.json()["state"] == state


async def test_cancelling_a_dead_job_finds_it_failed(
    client: AsyncClient, write_job: WriteJob
) -> None:
    answer = await client.delete(f"/admin/jobs/{write_job('queued')}")
    assert (answer.status_code, answer.json()["state"]) == (409, "failed")


async def test_jobs_are_listed_the_newest_first(client: AsyncClient, write_job: WriteJob) -> None:
    made = [str(write_job("failed")) for _ in range(3)]
    for params in ({}, {"collection": "default"}):
        jobs = (await client.get("/admin/jobs", params=params)).json()["jobs"]
        assert [each["job_id"] for each in jobs] == made[::-1]
    assert jobs[0]["options"] == {
        "full": False,
        "target_size": None,
        "seed": None,
        "automatic": False,
    }


@pytest.mark.parametrize("path", ["", "/events"])
async def test_a_job_that_is_none(client: AsyncClient, path: str) -> None:
    for job_id, status, code in (
        (str(uuid4()), 404, "job_not_found"),
        ("7", 422, "invalid_request"),
    ):
        answer = await client.get(f"/admin/jobs/{job_id}{path}")
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await client.delete(f"/admin/jobs/{uuid4()}")).json()["code"] == "job_not_found"


async def test_only_an_admin_trains(client: AsyncClient, services: Services) -> None:
    token, _ = await create_key(services.database, name="x", scopes=["identify", "enroll"])
    headers = {"Authorization": f"Bearer {token}"}
    for answer in (
        await client.post("/admin/retrain", json={}, headers=headers),
        await client.get("/admin/jobs", headers=headers),
        await client.get(f"/admin/jobs/{uuid4()}", headers=headers),
        await client.get(f"/admin/jobs/{uuid4()}/events", headers=headers),
        await client.delete(f"/admin/jobs/{uuid4()}", headers=headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
