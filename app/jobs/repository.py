"""SQL of the jobs."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, case, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.jobs.claim import RETRAINING
from app.keys.caller import seen_collections
from app.tables import CollectionRow, JobRow, SampleRow, SubjectRow, UploadRow

BEGUN = ("running", "evaluating")
UNFINISHED = ("queued", *BEGUN)
FinalState = Literal["published", "rejected", "done", "failed", "cancelled"]

SHOWN_JOBS = 100
CANCELLED = "Cancelled."


class StoredJob(NamedTuple):
    """A job and the name of its collection."""

    row: JobRow
    collection: str


def lock_key(job_id: UUID) -> int:
    """Key of the advisory lock that whoever runs a job holds: 64 bits, signed."""
    return int.from_bytes(job_id.bytes[:8], "big", signed=True)


_FRESH: dict[str, Any] = {
    "state": "queued",
    "progress": 0.0,
    "message": "",
    "metrics": {},
    "cancel_requested": False,
}


async def insert_job(session: AsyncSession, fields: dict[str, Any]) -> None:
    """Write a new job down, of a kind that may run beside others of the collection."""
    await session.execute(insert(JobRow).values(**_FRESH, **fields))


async def insert_unless_one_runs(session: AsyncSession, fields: dict[str, Any]) -> bool:
    """Write a new retraining down, unless its collection has an unfinished one."""
    unfinished = text("kind = 'retraining' AND state IN ('queued', 'running', 'evaluating')")
    inserted = await session.scalar(
        insert(JobRow)
        .values(kind=RETRAINING, **_FRESH, **fields)
        .on_conflict_do_nothing(index_elements=[JobRow.collection_id], index_where=unfinished)
        .returning(JobRow.id)
    )
    return inserted is not None


async def list_jobs(
    session: AsyncSession, *, collection: str | None = None, job_id: UUID | None = None
) -> list[StoredJob]:
    """List the last `SHOWN_JOBS` jobs, the newest first: all, a collection's, or the one.

    Those of collections that the caller may not know of are left out.
    """
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
    if (seen := seen_collections()) is not None:
        statement = statement.where(CollectionRow.name.in_(seen))
    return [StoredJob(*row) for row in await session.execute(statement)]


async def unfinished(
    session: AsyncSession, collection_id: UUID | None = None, *, kind: str | None = None
) -> list[StoredJob]:
    """List the jobs that are not over: all, or a collection's, or those of a kind."""
    statement = (
        select(JobRow, CollectionRow.name)
        .join(CollectionRow, CollectionRow.id == JobRow.collection_id)
        .where(JobRow.state.in_(UNFINISHED))
    )
    if collection_id is not None:
        statement = statement.where(JobRow.collection_id == collection_id)
    if kind is not None:
        statement = statement.where(JobRow.kind == kind)
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


async def is_there(session: AsyncSession, job_id: UUID) -> bool:
    """Tell whether a job's row is there; it goes with its collection."""
    return await session.get(JobRow, job_id) is not None


async def request_cancel(session: AsyncSession, job_id: UUID) -> bool:
    """Have a queued job be over, and ask whoever runs a begun one to end it.

    Returns:
        False if it is over or gone.
    """
    queued = JobRow.state == "queued"
    found = await session.scalar(
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state.in_(UNFINISHED))
        .values(
            cancel_requested=True,
            state=case((queued, "cancelled"), else_=JobRow.state),
            message=case((queued, CANCELLED), else_=JobRow.message),
            finished_at=case((queued, func.clock_timestamp()), else_=None),
        )
        .returning(JobRow.id)
    )
    await forget_upload(session, job_id)
    return found is not None


async def forget_upload(session: AsyncSession, job_id: UUID) -> None:
    """Delete what a job was given to work on, if it is over."""
    over = select(JobRow.id).where(JobRow.id == job_id, JobRow.state.not_in(UNFINISHED))
    await session.execute(delete(UploadRow).where(UploadRow.job_id.in_(over)))


async def delete_batches(session: AsyncSession, *, after_days: int) -> None:
    """Delete the batches, with their reports, that have been over for so long."""
    earliest = func.now() - func.make_interval(0, 0, 0, after_days)
    await session.execute(
        delete(JobRow).where(JobRow.kind != RETRAINING, JobRow.finished_at < earliest)
    )


async def kind_of(session: AsyncSession, job_id: UUID) -> str | None:
    """Tell of which kind a job is; None if it is gone."""
    return await session.scalar(select(JobRow.kind).where(JobRow.id == job_id))


async def queued(session: AsyncSession) -> Sequence[JobRow]:
    """List the jobs that nobody has begun, or that are to be begun anew, the oldest first."""
    return (
        await session.scalars(
            select(JobRow).where(JobRow.state == "queued").order_by(JobRow.created_at, JobRow.id)
        )
    ).all()


async def next_batches(session: AsyncSession, *, limit: int) -> Sequence[UUID]:
    """List the oldest batches that nobody has begun, so many of each kind, the oldest first."""
    in_order = (JobRow.created_at, JobRow.id)
    place = func.row_number().over(partition_by=JobRow.kind, order_by=in_order).label("place")
    waiting = (
        select(JobRow.id, JobRow.created_at, place)
        .where(JobRow.state == "queued", JobRow.kind != RETRAINING)
        .subquery()
    )
    statement = (
        select(waiting.c.id)
        .where(waiting.c.place <= limit)
        .order_by(waiting.c.created_at, waiting.c.id)
    )
    return (await session.scalars(statement)).all()


async def say(session: AsyncSession, row: JobRow, message: str) -> None:
    """Write down what a queued job waits for."""
    await session.execute(
        update(JobRow)
        .where(JobRow.id == row.id, JobRow.state == "queued", JobRow.attempts == row.attempts)
        .values(message=message)
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
