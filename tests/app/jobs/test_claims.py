"""Who has begun a job, and who takes it over."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from app import database
from app.jobs import claims
from app.jobs.claim import Claim
from app.jobs.progress import Progress
from app.services import Services
from app.tables import JobRow
from tests.app.jobs.conftest import RunElsewhere

Write = Callable[[AsyncSession, Claim], Awaitable[object]]


async def advance(session: AsyncSession, claim: Claim) -> None:
    await claims.advance(session, claim, Progress())


@pytest.mark.parametrize("write", [advance, claims.share_held])
async def test_who_stands_still_keeps_nobody_from_taking_a_job_over(
    services: Services,
    write_job: Callable[..., UUID],
    run_elsewhere: RunElsewhere,
    monkeypatch: pytest.MonkeyPatch,
    write: Write,
) -> None:
    monkeypatch.setattr(database, "HELD_AT_MOST", "200ms")
    job_id = write_job("queued")
    with run_elsewhere(job_id):  # nobody here takes it for dead
        async with services.database.transaction() as session:
            claim = await claims.claim(session, job_id)
        assert claim is not None
        has_written, is_taken = asyncio.Event(), asyncio.Event()

        async def stand_still() -> None:
            async with services.database.transaction() as session:
                await write(session, claim)
                has_written.set()
                await is_taken.wait()

        async def take_over() -> None:
            await has_written.wait()
            async with services.database.transaction() as session:
                row = (await session.scalars(select(JobRow).where(JobRow.id == job_id))).one()
                await claims.take_from_the_dead(session, row)
            is_taken.set()

        async with asyncio.timeout(30):
            stood_still, took_over = await asyncio.gather(
                stand_still(), take_over(), return_exceptions=True
            )
        assert (type(stood_still), took_over) == (OperationalError, None)
        async with services.database.transaction() as session:
            assert not await claims.share_held(session, claim)
