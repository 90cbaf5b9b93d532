"""Delete what has been kept for as long as it may be.

One process purges at a time, whichever is first. What is deleted is committed in small portions,
each whole in itself: whoever is interrupted has done what was done, and the next one goes on.
"""

from dataclasses import dataclass
from uuid import UUID

from app.audit import repository as audit
from app.audit.entry import Entry
from app.database import Database
from app.erasures.service import Holds
from app.idempotency.service import purge_answers
from app.jobs.repository import delete_batches
from app.logs import get_logger
from app.pictures.repository import delete_outlived
from app.problems import SubjectNotFound
from app.retention import repository
from app.settings import Settings
from app.subjects.service import erase, lock_with_collection

SUBJECTS_AT_ONCE = 200
"""Listed at once; each is erased in a transaction of its own, as by `DELETE /subjects/{id}`, so
that nobody's enrolment waits for more than one of them."""
PICTURES_AT_ONCE = 500

log = get_logger()


@dataclass(frozen=True)
class Purged:
    """How much was deleted."""

    subjects: int
    """With all that is kept of them; each has left a receipt."""
    pictures: int
    audit_entries: int


async def purge(
    *, database: Database, settings: Settings, holds: Holds, wait: bool
) -> Purged | None:
    """Delete what is older than its collection, or the settings, say that it is kept.

    Args:
        database: of the subjects.
        settings: say how long is kept what is of no collection.
        holds: tells whether a bundle, by its id, was trained with a subject.
        wait: for another process that is purging, and purge then. Else nothing is done.

    Returns:
        None: another process is purging.

    Raises:
        psycopg.OperationalError, sqlalchemy.exc.OperationalError: the database is away.
    """
    async with repository.purge_lock(database.address, wait=wait) as connection:
        if connection is None:
            return None
        purged = Purged(
            subjects=await _purge_subjects(database, holds),
            pictures=await _purge_pictures(database),
            audit_entries=await _purge_audit(database, settings),
        )
        await purge_answers(database, hours=settings.idempotency_hours)
        async with database.transaction() as session:
            await delete_batches(session, after_days=settings.batch_days)
        # Deleted rows lie in their tables' files until then, whoever has deleted them.
        await repository.vacuum(connection)
    if purged != Purged(0, 0, 0):
        log.info("purged", **vars(purged))
    return purged


async def _purge_subjects(database: Database, holds: Holds) -> int:
    erased = 0
    last = UUID(int=0)
    while True:
        async with database.snapshot() as session:
            portion = await repository.outlived_subjects(
                session, after=last, limit=SUBJECTS_AT_ONCE
            )
        if not portion:
            return erased
        for subject_id in portion:
            erased += await _erase_if_outlived(database, subject_id, holds)
        last = portion[-1]


async def _erase_if_outlived(database: Database, subject_id: UUID, holds: Holds) -> bool:
    """Erase a subject, unless it has been given a new sample, or more time, since it was listed."""
    try:
        async with database.transaction() as session:
            row = await lock_with_collection(session, subject_id)
            if not await repository.is_outlived(session, subject_id):
                return False
            entry = Entry(
                request_id="retention",
                key_id=None,
                action="purge_subject",
                collection_id=row.collection_id,
                subject_ids=(subject_id,),
                outcome="erased",
                status=204,
                address=None,
            )
            await audit.insert(session, [entry.document()])
            await erase(session, row, holds)
    except SubjectNotFound:
        return False  # somebody has deleted it
    return True


async def _purge_pictures(database: Database) -> int:
    deleted = 0
    while True:
        async with database.transaction() as session:
            portion = await delete_outlived(session, limit=PICTURES_AT_ONCE)
        deleted += portion
        if portion < PICTURES_AT_ONCE:
            return deleted


async def _purge_audit(database: Database, settings: Settings) -> int:
    if settings.audit_days is None:
        return 0
    deleted = 0
    while True:
        async with database.transaction() as session:
            portion = await audit.purge(session, days=settings.audit_days)
        deleted += portion
        if portion < audit.PURGED_AT_ONCE:
            return deleted
