"""One job from its beginning to its end, whichever that is: done, looked after, written down."""

import asyncio
from contextlib import suppress
from typing import Any, NoReturn, Protocol

from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import Database
from app.jobs import claims, repository
from app.jobs.claim import Claim
from app.jobs.outcome import STOPPED, JobCancelled, JobFailed, JobLost, Outcome
from app.jobs.progress import Progress
from app.logs import describe_error, get_logger
from app.problems import CollectionNotFound

WRITE_EVERY_S = 0.5
"""Between two writes of a job's row, and two looks at whether it is to end."""

AWAY = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
"""What the database raises while it can't be reached."""

log = get_logger()


class Work(Protocol):
    """What a job of some kind does."""

    progress: Progress
    settling: bool
    """It is about to end itself, in a transaction of its own: nobody else should."""

    async def do(self) -> Outcome:
        """Do all of it.

        Raises:
            JobFailed: it can't be done.
            JobCancelled, JobLost: so the transaction that was to end it found.
        """

    async def clear(self) -> None:
        """Remove what lies about of this attempt; nothing is raised."""


class Attended:
    """A job that this process runs."""

    def __init__(self, claim: Claim, work: Work, database: Database, *, again: bool) -> None:
        """Look after a job.

        Args:
            claim: of this process.
            work: what is to be done.
            database: of the job.
            again: whether it is given back if this process stops, to be begun anew; else it fails.
        """
        self._claim = claim
        self._work = work
        self._database = database
        self._again = again

    async def run(self) -> None:
        """Do the work; the row says how it ended. Raises nothing but being ended."""
        job = str(self._claim.job_id)
        try:
            outcome: Outcome | None = await self._do_and_watch()
        except asyncio.CancelledError:
            await self._end(None if self._again else Outcome("failed", STOPPED))
            raise
        except JobCancelled:
            outcome = Outcome("cancelled", repository.CANCELLED)
        except JobLost:
            log.warning("job_lost_to_others", job=job, attempt=self._claim.attempt)
            outcome = Outcome("failed", "It was ended by another process, which found it dead.")
        except CollectionNotFound:
            log.warning("job_gone", job=job)
            outcome = Outcome("failed", "Its collection was deleted.")
        except JobFailed as error:
            log.error("job_failed", job=job, reason=str(error))
            outcome = Outcome("failed", str(error))
        except Exception as error:  # noqa: BLE001  (whatever it is, the job must not stay unfinished)
            log.error("job_failed", job=job, **describe_error(error))
            outcome = Outcome("failed", "It failed inside the service; the log says why.")
        await self._end(outcome)

    async def _do_and_watch(self) -> Outcome:
        working = asyncio.create_task(self._work.do())
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            return await working
        except (JobFailed, JobLost, OSError):
            # Whoever has taken a job over, or deleted its collection, removes what it still needs.
            with suppress(*AWAY):
                async with self._database.snapshot() as session:
                    if await claims.cancel_requested(session, self._claim) is None:
                        await self._raise_loss(session)
            raise
        finally:
            await _ended(working, watching)

    async def _raise_loss(self, session: AsyncSession) -> NoReturn:
        """Raise why the job is this process's no more: another has it, or it is gone."""
        if await repository.is_there(session, self._claim.job_id):
            raise JobLost
        raise CollectionNotFound("The collection was deleted meanwhile.")

    async def _watch(self) -> None:
        """Keep the row up to date, and raise what ends the job, until it is about to end itself."""
        written: Progress | None = None
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            current = self._work.progress
            # An outage does not end the work here. The job's lock may have gone with its
            # connection, though: then whoever looks for dead jobs first takes it for one, and the
            # next turn finds the claim void.
            with suppress(*AWAY):
                async with self._database.transaction() as session:
                    cancelled = await claims.cancel_requested(session, self._claim)
                    if self._work.settling:
                        return
                    if cancelled is None:
                        await self._raise_loss(session)
                    if cancelled:
                        raise JobCancelled
                    if current != written:
                        await claims.advance(session, self._claim, current)
                        written = current

    async def _end(self, outcome: Outcome | None) -> None:
        """End the row, as the last of all: whoever reads that the job is over finds it so.

        None: it is to be begun anew. If the database is away, the next look for dead jobs will do.
        """
        await self._work.clear()
        try:
            async with self._database.transaction() as session:
                if outcome is None:
                    await claims.give_back(session, self._claim)
                # One that was given back is the claimant's no more; one that was stopped right
                # after it had published was not given back, and is over.
                state, message, fields = outcome or Outcome("failed", STOPPED)
                await claims.finish(session, self._claim, state, message, **fields)
        except AWAY as error:
            log.error("job_not_ended", **describe_error(error))


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for their ends; what they raise is another's affair."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
