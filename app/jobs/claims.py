"""SQL of the jobs that somebody has begun: claimed, kept up to date, ended, given back."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import held_at_most
from app.jobs.claim import Claim
from app.jobs.progress import Progress
from app.jobs.repository import BEGUN, UNFINISHED, FinalState, forget_upload
from app.tables import JobRow


async def claim(session: AsyncSession, job_id: UUID) -> Claim | None:
    """Begin a job, with its lock held; None if it is not queued: begun by others, over or gone."""
    row = await session.scalar(
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.state == "queued")
        .values(
            state="running",
            attempts=JobRow.attempts + 1,
            message="",
            started_at=func.clock_timestamp(),
        )
        .returning(JobRow)
    )
    if row is None:
        return None
    return Claim(row.id, row.collection_id, row.kind, row.key_id, row.options, row.attempts)


def _held(claim: Claim) -> ColumnElement[bool]:
    """Whether the job is still the claimant's: it is neither over, nor has anybody taken it for
    dead, whether it was begun again since or not.
    """
    return (
        (JobRow.id == claim.job_id) & (JobRow.attempts == claim.attempt) & JobRow.state.in_(BEGUN)
    )


async def lock_held(session: AsyncSession, claim: Claim) -> JobRow | None:
    """Take the row of a job that is about to end; None if it is the claimant's no more."""
    return await session.scalar(select(JobRow).where(_held(claim)).with_for_update())


async def share_held(session: AsyncSession, claim: Claim) -> bool:
    """Have a job be the claimant's until the transaction ends; False if it is so no more."""
    held = select(JobRow.id, held_at_most()).where(_held(claim)).with_for_update(read=True)
    return await session.scalar(held) is not None


async def note_baseline(session: AsyncSession, claim: Claim, baseline: str | None) -> None:
    """Note what a job's bundle will be compared with."""
    await session.execute(update(JobRow).where(_held(claim)).values(baseline_bundle_id=baseline))


async def advance(session: AsyncSession, claim: Claim, progress: Progress) -> None:
    """Write down how far a job is."""
    await session.execute(
        update(JobRow)
        .where(_held(claim))
        .values(
            state=progress.state,
            stage=progress.stage,
            progress=progress.fraction,
            message=progress.message,
        )
        .returning(held_at_most())
    )


async def cancel_requested(session: AsyncSession, claim: Claim) -> bool | None:
    """Tell whether a job is to end; None if it is the claimant's no more."""
    return await session.scalar(select(JobRow.cancel_requested).where(_held(claim)))


async def note_bundle(session: AsyncSession, job_id: UUID, fields: dict[str, Any]) -> None:
    """Note on a job's row that its bundle is published; the job is all but over."""
    await session.execute(update(JobRow).where(JobRow.id == job_id).values(**fields))


async def finish(
    session: AsyncSession,
    job: Claim | UUID,
    state: FinalState,
    message: str,
    **fields: Any,
) -> None:
    """End a job; one that is over stays as it is, and one whose bundle is published is so.

    Args:
        session: to write in.
        job: a claim, which must still hold; or the id of a job that nobody runs.
        state: how it ended.
        message: what there is to say, for people.
        fields: more columns.
    """
    has_published = JobRow.bundle_id.is_not(None)
    unfinished = (JobRow.id == job) & JobRow.state.in_(UNFINISHED)
    await session.execute(
        update(JobRow)
        .where(_held(job) if isinstance(job, Claim) else unfinished)
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
    await forget_upload(session, job.job_id if isinstance(job, Claim) else job)


async def give_back(session: AsyncSession, claim: Claim) -> None:
    """Have a job be begun anew by whoever comes first, unless its bundle is published.

    That it was begun is not held against it.
    """
    unpublished = _held(claim) & JobRow.bundle_id.is_(None)
    await _queue_again(session, unpublished, attempts=JobRow.attempts - 1)


async def take_from_the_dead(session: AsyncSession, row: JobRow) -> None:
    """Have a begun job that nobody runs any more be begun anew; one that is over stays as it is."""
    as_read = (JobRow.id == row.id) & (JobRow.attempts == row.attempts) & JobRow.state.in_(BEGUN)
    await _queue_again(session, as_read)


async def _queue_again(session: AsyncSession, which: ColumnElement[bool], **fields: Any) -> None:
    await session.execute(
        update(JobRow)
        .where(which)
        .values(state="queued", stage=None, progress=0.0, message="", **fields)
    )
