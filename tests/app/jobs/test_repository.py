"""Which of the earlier jobs keep a training from starting by itself."""

from collections.abc import Callable
from uuid import UUID

import pytest

from app.jobs import repository
from app.jobs.leftovers import DEAD
from app.jobs.outcome import STOPPED
from app.services import Services

LEFT_OUT = (STOPPED, DEAD)


async def last_telling(services: Services) -> UUID | None:
    collection_id = services.galleries.find("default").collection_id
    async with services.database.snapshot() as session:
        job = await repository.last_telling(session, collection_id, leave_out=LEFT_OUT)
    return None if job is None else job.id


async def test_the_newest_that_led_to_something_or_in_vain_tells(
    services: Services, write_job: Callable[..., UUID], set_job: Callable[..., None]
) -> None:
    assert await last_telling(services) is None
    write_job("rejected")  # somebody had asked for it
    assert await last_telling(services) is None
    in_vain = write_job("rejected", automatic=True, changed=4)
    assert await last_telling(services) == in_vain
    for message in LEFT_OUT:
        set_job(write_job("failed", automatic=True, changed=5), message=message)
    assert await last_telling(services) == in_vain
    published = write_job("published")
    assert await last_telling(services) == published
    set_job(write_job("failed", automatic=True, changed=6), message=STOPPED)
    assert await last_telling(services) == published
    failed = write_job("failed", automatic=True, changed=7)
    set_job(failed, message="The disk is full.")
    assert await last_telling(services) == failed


@pytest.mark.parametrize("message", LEFT_OUT)
async def test_one_that_ended_with_the_service_tells_nothing(
    services: Services,
    write_job: Callable[..., UUID],
    set_job: Callable[..., None],
    message: str,
) -> None:
    set_job(write_job("failed", automatic=True, changed=4), message=message)
    assert await last_telling(services) is None


async def test_a_job_is_there_until_its_collection_is_deleted(
    services: Services, write_job: Callable[..., UUID]
) -> None:
    job_id = write_job("failed")
    async with services.database.snapshot() as session:
        assert await repository.is_there(session, job_id)
        assert not await repository.is_there(session, UUID(int=0))
