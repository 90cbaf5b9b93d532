"""What killed processes leave: jobs that nobody runs any more, and files that nobody knows."""

import asyncio
import shutil
from pathlib import Path
from uuid import UUID

from app.bundles.files import BundleFiles
from app.bundles.repository import all_ids
from app.database import Database
from app.jobs import repository
from app.logs import get_logger

TRAINING = "training"
"""Folder in the data directory with one for each job that is under way."""
DEAD = "The service ended while it ran; start another retraining."

log = get_logger()


async def end_dead_jobs(database: Database, collection_id: UUID | None = None) -> None:
    """Mark the unfinished jobs that no process runs as failed: all, or a collection's."""
    async with database.transaction() as session:
        for job in await repository.unfinished(session, collection_id):
            if await repository.try_lock(session, job.row.id):
                await repository.finish(session, job.row.id, "failed", DEAD)
                log.warning("dead_job_ended", job=str(job.row.id))


async def clear_files(database: Database, files: BundleFiles, training: Path) -> None:
    """Remove what is left on the disk of trainings, and of bundles that are not published.

    Args:
        database: that knows jobs and bundles.
        files: of the bundles.
        training: folder of the jobs that are under way.
    """
    # Listed before the rows are read: whatever comes up in between has a row.
    bundles, folders = await asyncio.to_thread(
        lambda: (_names_in(files.folder), _names_in(training))
    )
    async with database.snapshot() as session:
        running = {str(job.row.id) for job in await repository.unfinished(session)}
        known = await all_ids(session)
    for name in folders - running:
        await asyncio.to_thread(shutil.rmtree, training / name, ignore_errors=True)
        log.warning("training_files_removed", job=name)
    # A job that is under way may be about to publish.
    for name in set() if running else bundles - known:
        await asyncio.to_thread(files.delete, name)
        log.warning("bundle_files_removed", name=name)


def _names_in(folder: Path) -> set[str]:
    """Names of what lies in a folder that need not be there."""
    return {path.name for path in folder.iterdir()} if folder.exists() else set()
