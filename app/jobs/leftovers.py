"""What killed processes leave: jobs that nobody runs any more, and files that nobody knows."""

import asyncio
import shutil
from pathlib import Path
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.database import Database
from app.jobs import claims, repository
from app.jobs.claim import RETRAINING, Claim
from app.logs import get_logger
from app.tables import JobRow

TRAINING = "training"
"""Folder in the data directory with one for each retraining that is under way."""
DEAD = "The service ended while it ran; start another retraining."
MAX_ATTEMPTS = 3
"""A job whose process dies so often is likely what kills it."""
TOO_OFTEN = (
    f"It was begun {MAX_ATTEMPTS} times, and each time the process that ran it died; if nobody "
    "ended them, they may have needed more memory than there was."
)

log = get_logger()


async def end_dead_jobs(
    database: Database, collection_id: UUID | None = None, *, workers: bool = False
) -> None:
    """See to the jobs that no process runs any more: all, or a collection's.

    They are begun anew, but for retrainings where there are no workers: these have failed.

    Args:
        database: of the jobs.
        collection_id: None: all.
        workers: whether jobs wait in a queue for workers; else the process that wrote a retraining
            down is the one that runs it.
    """
    async with database.transaction() as session:
        for job in await repository.unfinished(session, collection_id):
            waits = job.row.state == "queued" and (workers or job.row.kind != RETRAINING)
            if not waits and await repository.try_lock(session, job.row.id):
                await _end_dead(session, job.row, again=workers or job.row.kind != RETRAINING)


async def _end_dead(session: AsyncSession, row: JobRow, *, again: bool) -> None:
    log.warning("dead_job_found", job=str(row.id), kind=row.kind, attempt=row.attempts)
    if row.cancel_requested and row.bundle_id is None:
        await claims.finish(session, row.id, "cancelled", repository.CANCELLED)
    elif not again or row.bundle_id is not None:
        await claims.finish(session, row.id, "failed", DEAD)
    elif row.attempts >= MAX_ATTEMPTS:
        await claims.finish(session, row.id, "failed", TOO_OFTEN)
    else:
        await claims.take_from_the_dead(session, row)


def folder_of(training: Path, claim: Claim) -> Path:
    """Name the folder of a retraining: each attempt has its own, as the one before may not know
    yet that it is over.
    """
    return training / f"{claim.job_id}-{claim.attempt}"


async def clear_folders(database: Database, training: Path) -> None:
    """Remove what is left on the disk of trainings that nobody is at.

    Args:
        database: that knows the jobs.
        training: folder of the jobs that are under way.
    """
    # Listed before the rows are read: whatever comes up in between has a row.
    folders = await asyncio.to_thread(_names_in, training)
    if not folders:
        return
    async with database.snapshot() as session:
        running = {
            f"{job.row.id}-{job.row.attempts}" for job in await repository.unfinished(session)
        }
    for name in folders - running:
        await asyncio.to_thread(shutil.rmtree, training / name, ignore_errors=True)
        log.warning("training_files_removed", job=name)


def _names_in(folder: Path) -> set[str]:
    """Names of what lies in a folder that need not be there."""
    return {path.name for path in folder.iterdir()} if folder.exists() else set()
