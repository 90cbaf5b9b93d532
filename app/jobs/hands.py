"""The jobs that this process runs: begun when it holds their locks and has claimed their rows."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.database import Database
from app.jobs import claims, repository
from app.jobs.attended import Attended, Work
from app.jobs.claim import RETRAINING, Claim
from app.jobs.lock import job_lock, job_lock_if_free
from app.jobs.outcome import STOPPED
from app.logs import describe_error, get_logger
from app.problems import CollectionNotFound

log = get_logger()


class Hands:
    """Runs jobs, those of a kind one after the other."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kinds: dict[str, Callable[[Claim], Work]] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(asyncio.Semaphore)
        self.stopping = asyncio.Event()
        """Set when the process is about to stop: nothing is begun any more."""

    def learn(self, kind: str, make: Callable[[Claim], Work]) -> None:
        """Have jobs of a kind run: `make` prepares the work of one that was begun."""
        self._kinds[kind] = make

    def take_aside(self, job_id: UUID) -> None:
        """Run a queued job while others go on, unless it is run here already."""
        if job_id not in self._tasks and not self.stopping.is_set():
            self._begin(job_id, self._take(job_id))

    async def take(self, job_id: UUID) -> None:
        """Run a queued job to its end, unless others do or this process stops."""
        if job_id not in self._tasks and not self.stopping.is_set():
            await asyncio.wait({self._begin(job_id, self._take(job_id))})

    def _begin(self, job_id: UUID, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        # A request may be what has it begun, and what is said of that one is none of the job's.
        task = asyncio.create_task(work, context=Context())
        self._tasks[job_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job_id, None))
        return task

    async def _take(self, job_id: UUID) -> None:
        try:
            async with self._database.snapshot() as session:
                kind = await repository.kind_of(session, job_id)
            if kind not in self._kinds:
                return
            # The turn before the lock: its connection is none of the pool's, and other processes
            # could begin the job meanwhile.
            async with (
                self._turns[kind],
                job_lock_if_free(self._database.address, job_id) as free,
            ):
                if free:
                    await self._attend(job_id, again=True)
        except Exception as error:  # noqa: BLE001  (it stays queued, and will be put in again)
            log.warning("job_not_begun", job=str(job_id), **describe_error(error))

    async def _attend(self, job_id: UUID, *, again: bool) -> None:
        """Run a job whose turn it is, and whose lock this process holds."""
        async with self._database.transaction() as session:
            claim = await claims.claim(session, job_id)
        if claim is not None:
            work = self._kinds[claim.kind](claim)
            await Attended(claim, work, self._database, again=again).run()

    async def insert_and_run(self, fields: dict[str, Any]) -> bool:
        """Begin a retraining in this process; False if the collection has an unfinished one."""
        begun: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._begin(fields["id"], self._insert_and_run(fields, begun))
        return await begun

    async def _insert_and_run(self, fields: dict[str, Any], begun: "asyncio.Future[bool]") -> None:
        """Hold the job's lock from before its row can be seen until it is over."""
        job_id: UUID = fields["id"]
        try:
            async with job_lock(self._database.address, job_id):
                async with self._database.transaction() as session:
                    inserted = await repository.insert_unless_one_runs(session, fields)
                if not begun.done():  # else whoever asked has gone
                    begun.set_result(inserted)
                if inserted:
                    try:
                        async with self._turns[RETRAINING]:
                            await self._attend(job_id, again=False)
                    except asyncio.CancelledError:
                        async with self._database.transaction() as session:
                            await claims.finish(session, job_id, "failed", STOPPED)
                        raise
        except IntegrityError:
            _fail(begun, CollectionNotFound("The collection was deleted meanwhile."))
        except Exception as error:  # noqa: BLE001  (whoever waits is to hear of it)
            _fail(begun, error)
        finally:
            begun.cancel()

    async def close(self) -> None:
        """End the jobs that this process runs: they are begun anew by another one, or failed."""
        self.stopping.set()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _fail(begun: "asyncio.Future[bool]", error: Exception) -> None:
    """Tell whoever waits for a job's beginning, or the log."""
    if begun.done():
        log.error("job_lost", **describe_error(error))
    else:
        begun.set_exception(error)
