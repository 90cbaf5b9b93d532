"""SQL of the jobs."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.jobs.progress import Progress
from app.tables import CollectionRow, JobRow, SampleRow, SubjectRow

UNFINISHED = ("queued", "running", "evaluating")
FinalState = Literal["published", "rejected", "failed", "cancelled"]

SHOWN_JOBS = 100


class StoredJob(NamedTuple):
    """A job and the name of its collection."""

    row: JobRow
    collection: str


def lock_key(job_id: UUID) -> int:
    """Key of the advisory lock that whoever runs a job holds: 64 bits, signed."""
    return int.from_bytes(job_id.bytes[:8], "big", signed=True)


async def insert_unless_one_runs(session: AsyncSession, fields: dict[str, Any]) -> bool:
    """Write a new job down, unless its collection has an unfinished one."""
    unfinished = text("kind = 'retraining' AND state IN ('queued', 'running', 'evaluating')")
    inserted = await session.scalar(
        insert(JobRow)
        .values(
            state="queued", progress=0.0, message="", metrics={}, cancel_requested=False, **fields
        )
        .on_conflict_do_nothing(index_elements=[JobRow.collection_id], index_where=unfinished)
        .returning(JobRow.id)
    )
    return inserted is not None


async def list_jobs(
    session: AsyncSession, *, collection: str | None = None, job_id: UUID | None = None
) -> list[StoredJob]:
    """List the last `SHOWN_JOBS` jobs, the newest first: all, a collection's, or the one."""
    statement = (
        select(JobRow, CollectionRow.name)
        .join(CollectionRow, CollectionRow.id == JobRow.collection_id)
        .order_by(JobRow.created_at.desc(), JobRow.id)
        .limit(SHOWN_JOBS)
    )
    if collection is not None:
        statement = statement.where(CollectionRow.name == collection)
    if job_id is not None:
        statement = statement.where(JobRow.id == job_id)
    return [StoredJob(*row) for row in await session.execute(statement)]


async def unfinished(session: AsyncSession, collection_id: UUID | None = None) -> list[StoredJob]:
    """List the jobs that are not over: all, or a collection's."""
    statement = (
        select(JobRow, CollectionRow.name)
        .join(CollectionRow, CollectionRow.id == JobRow.collection_id)
        .where(JobRow.state.in_(UNFINISHED))
    )
    if collection_id is not None:
        statement = statement.where(JobRow.collection_id == collection_id)
    return [StoredJob(*row) for row in await session.execute(statement)]


async def collection_ids(session: AsyncSession) -> Sequence[UUID]:
    """List all collections."""
    return (await session.scalars(select(CollectionRow.id))).all()


async def last_telling(
    session: AsyncSession, collection_id: UUID, *, leave_out: Sequence[str]
) -> JobRow | None:
    """Find the newest job that tells whether an automatic one is worth while.

    Args:
        session: to read in.
        collection_id: whose jobs.
        leave_out: messages of those that failed for reasons which tell nothing.

    Returns:
        One that has published a bundle, or one that nobody asked for and which has not; None if
        there is neither.
    """
    automatic: ColumnElement[bool] = JobRow.options["automatic"].as_boolean()
    telling = JobRow.state.in_(("rejected", "cancelled")) | (
        (JobRow.state == "failed") & JobRow.message.not_in(leave_out)
    )
    return await session.scalar(
        select(JobRow)
        .where(
            JobRow.collection_id == collection_id,
            (JobRow.state == "published") | (automatic & telling),
        )
        .order_by(JobRow.created_at.desc())
        .limit(1)
    )


async def try_lock(session: AsyncSession, job_id: UUID) -> bool:
    """Take a job's lock until the transaction ends, if nobody runs the job."""
    return bool(await session.scalar(select(func.pg_try_advisory_xact_lock(lock_key(job_id)))))


async def lock_unfinished(session: AsyncSession, job_id: UUID) -> JobRow | None:
    """Take the row of a job; None if the job is over or gone."""
    return await session.scalar(
        select(JobRow).where(JobRow.id == job_id, JobRow.state.in_(UNFINISHED)).with_for_update()
    )


async def begin(session: AsyncSession, job_id: UUID, *, baseline: str | None) -> None:
    """Note that a job's process starts, and what its bundle will be compared with."""
    await session.execute(
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state.in_(UNFINISHED))
        .values(state="running", started_at=func.clock_timestamp(), baseline_bundle_id=baseline)
    )


async def advance(session: AsyncSession, job_id: UUID, progress: Progress) -> None:
    """Write down how far a job is."""
    await session.execute(
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state.in_(UNFINISHED))
        .values(
            state=progress.state,
            stage=progress.stage,
            progress=progress.fraction,
            message=progress.message,
        )
    )


async def cancel_requested(session: AsyncSession, job_id: UUID) -> bool | None:
    """Tell whether a job is to end; None if it is over or gone."""
    return await session.scalar(
        select(JobRow.cancel_requested).where(JobRow.id == job_id, JobRow.state.in_(UNFINISHED))
    )


async def is_there(session: AsyncSession, job_id: UUID) -> bool:
    """Tell whether a job's row is there; it goes with its collection."""
    return await session.get(JobRow, job_id) is not None


async def request_cancel(session: AsyncSession, job_id: UUID) -> bool:
    """Ask whoever runs a job to end it; False if it is over or gone."""
    found = await session.scalar(
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state.in_(UNFINISHED))
        .values(cancel_requested=True)
        .returning(JobRow.id)
    )
    return found is not None


async def note_bundle(session: AsyncSession, job_id: UUID, fields: dict[str, Any]) -> None:
    """Note on a job's row that its bundle is published; the job is all but over."""
    await session.execute(update(JobRow).where(JobRow.id == job_id).values(**fields))


async def finish(
    session: AsyncSession, job_id: UUID, state: FinalState, message: str, **fields: Any
) -> None:
    """End a job; one that is over stays as it is, and one whose bundle is published is so."""
    has_published = JobRow.bundle_id.is_not(None)
    await session.execute(
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state.in_(UNFINISHED))
        .values(
            state=case((has_published, "published"), else_=state),
            message=(
                message
                if state == "published"
                else case((has_published, JobRow.message), else_=message)
            ),
            finished_at=func.clock_timestamp(),
            **fields,
        )
    )


async def has_two_subjects(session: AsyncSession, collection_id: UUID) -> bool:
    """Tell whether at least two subjects of a collection have samples."""
    subjects = (
        select(SubjectRow.id)
        .where(
            SubjectRow.collection_id == collection_id,
            select(SampleRow.id).where(SampleRow.subject_id == SubjectRow.id).exists(),
        )
        .limit(2)
        .subquery()
    )
    return (await session.scalar(select(func.count()).select_from(subjects))) == 2
