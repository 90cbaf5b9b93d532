"""Batches that wait for their turn in this process."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import psycopg

from app.jobs import repository
from app.jobs.attended import Work
from app.jobs.claim import Claim
from app.jobs.hands import Hands
from app.jobs.lock import job_lock
from app.jobs.outcome import Outcome
from app.jobs.progress import Progress
from app.services import Services
from tests.app.jobs.conftest import RunElsewhere

KINDS = ("counted", "measured")

WriteJob = Callable[..., UUID]
SetJob = Callable[..., None]


class _Waits:
    """Work that ends when it is told to."""

    def __init__(self, ends: asyncio.Event) -> None:
        self.progress = Progress(stage="waits")
        self.settling = False
        self._ends = ends

    async def do(self) -> Outcome:
        await self._ends.wait()
        return Outcome("done", "")

    async def clear(self) -> None: ...


def states(services: Services, job_ids: list[UUID]) -> list[str]:
    with psycopg.connect(services.database.address) as connection:
        rows = connection.execute("SELECT id, state FROM jobs").fetchall()
    found: dict[UUID, str] = dict(rows)
    return [found[job_id] for job_id in job_ids]


def locks(services: Services, job_ids: list[UUID]) -> int:
    keys = {repository.lock_key(job_id) % 2**64 for job_id in job_ids}
    with psycopg.connect(services.database.address) as connection:
        found = connection.execute(
            "SELECT classid::bigint, objid::bigint FROM pg_locks WHERE locktype = 'advisory'"
        ).fetchall()
    return len(keys & {high * 2**32 + low for high, low in found})


async def test_a_batch_is_locked_when_its_turn_has_come_and_not_before(
    services: Services, write_job: WriteJob, set_job: SetJob
) -> None:
    ends, hands = asyncio.Event(), Hands(services.database)
    begun: list[UUID] = []

    def make(claim: Claim) -> Work:
        begun.append(claim.job_id)
        return _Waits(ends)

    hands.learn(KINDS[0], make)
    job_ids = []
    for _ in range(5):
        job_ids.append(write_job("failed"))
        set_job(job_ids[-1], kind=KINDS[0], state="queued")
    for job_id in job_ids:
        hands.take_aside(job_id)
    async with asyncio.timeout(20):
        while not begun:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert sorted(states(services, job_ids)) == ["queued"] * 4 + ["running"]
        assert locks(services, job_ids) == 1
        # Another process can begin one of those that wait; then it is not for this one.
        elsewhere = next(each for each in job_ids if each not in begun)
        async with job_lock(services.database.address, elsewhere):
            ends.set()
            while states(services, job_ids).count("done") < 4:
                await asyncio.sleep(0.05)
    assert elsewhere not in begun
    await hands.close()


async def test_of_many_batches_the_oldest_of_each_kind_are_taken_up(
    services: Services, write_job: WriteJob, set_job: SetJob, run_elsewhere: RunElsewhere
) -> None:
    written: dict[str, list[UUID]] = {kind: [] for kind in KINDS}
    write_job("queued")  # a retraining
    for number in range(6):
        kind = KINDS[number % 2]
        written[kind].append(write_job("failed"))
        set_job(written[kind][-1], kind=kind, state="queued")
    first, second = (written[kind] for kind in KINDS)
    with run_elsewhere(first[0]):
        set_job(first[0], state="running")
        async with services.database.snapshot() as session:
            found = await repository.next_batches(session, limit=2)
    assert list(found) == [second[0], first[1], second[1], first[2]]
