"""What is done of itself while the service runs: dead jobs are seen to, queued ones begun, training
starts.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from app.database import Database
from app.gallery.live import LiveGallery
from app.gallery.service import Galleries
from app.jobs import repository
from app.jobs.claim import RETRAINING
from app.jobs.leftovers import DEAD, clear_folders, end_dead_jobs
from app.jobs.outcome import STOPPED
from app.jobs.service import Jobs
from app.logs import get_logger
from app.problems import Problem
from app.repeating import Step, beside, repeat

LOOK_EVERY_S = 5.0
GROWTH = 1.1
"""After a retraining that did not lead to a new bundle, so many times as many subjects must have
changed before the next one starts by itself."""

log = get_logger()


@asynccontextmanager
async def keeping(
    jobs: Jobs, galleries: Galleries, database: Database, share: float | None
) -> AsyncIterator[None]:
    """Look after jobs while the block runs; in the end, the jobs are ended.

    Args:
        jobs: of this service.
        galleries: whose changes count.
        database: of the jobs.
        share: of its subjects that may have changed before a collection is retrained; None: it is
            retrained only when somebody asks.
    """
    await end_dead_jobs(database, workers=jobs.has_workers)
    await clear_folders(database, jobs.folder)
    if share is not None and not jobs.has_workers and not await jobs.can_train():
        log.warning("retraining_unavailable", reason="COHORT_TRAINING_PYTHON has no torch")
        share = None
    steps = _steps(jobs, galleries, database, share)
    try:
        async with beside(repeat(*steps, every_s=LOOK_EVERY_S)):
            yield
    finally:
        await jobs.close()


def _steps(jobs: Jobs, galleries: Galleries, database: Database, share: float | None) -> list[Step]:
    steps: list[Callable[[], Awaitable[None]]] = [
        lambda: end_dead_jobs(database, workers=jobs.has_workers),
        jobs.announce,
        lambda: clear_folders(database, jobs.folder),
    ]
    if share is not None:
        steps.append(lambda: _start_where_due(share, jobs, galleries, database))
    return [Step(step, failed="jobs_not_kept", mended="jobs_kept_again") for step in steps]


async def _start_where_due(
    share: float, jobs: Jobs, galleries: Galleries, database: Database
) -> None:
    async with database.snapshot() as session:
        collection_ids = await repository.collection_ids(session)
    for collection_id in collection_ids:
        live = galleries.live_of(collection_id)
        if live is not None and live.gallery.changed_share > share:
            await _start_unless_in_vain(live, jobs, database)


async def _start_unless_in_vain(live: LiveGallery, jobs: Jobs, database: Database) -> None:
    """Start a retraining, unless one was lately started so and has led to nothing."""
    changed = round(live.gallery.changed_share * len(live.gallery))
    async with database.snapshot() as session:
        if await repository.unfinished(session, live.collection_id, kind=RETRAINING):
            return
        # That the service ended tells nothing of what the training would have led to.
        last = await repository.last_telling(session, live.collection_id, leave_out=(STOPPED, DEAD))
    if last is not None and last.state != "published":
        in_vain: int = last.options["changed"]
        if changed < GROWTH * in_vain:
            return
    # It can't be trained on yet, or not here, or others were faster.
    with suppress(Problem):
        await jobs.start(live.collection_name, automatic=changed)
