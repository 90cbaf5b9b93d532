"""SQL of the items of batches."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.tables import ApiKeyRow, JobItemRow, SubjectRow


class Counts(NamedTuple):
    """Items of a batch."""

    done: int
    failed: int


async def counts(session: AsyncSession, job_id: UUID) -> Counts:
    """Count the items that are done, and those of them that failed."""
    statement = select(func.count(), func.count().filter(JobItemRow.failed)).where(
        JobItemRow.job_id == job_id
    )
    return Counts(*(await session.execute(statement)).one())


async def positions(session: AsyncSession, job_id: UUID) -> set[int]:
    """List which items are done."""
    found = await session.scalars(select(JobItemRow.position).where(JobItemRow.job_id == job_id))
    return set(found)


async def insert_item(session: AsyncSession, fields: dict[str, Any]) -> None:
    """Write down what became of an item."""
    await session.execute(insert(JobItemRow).values(**fields))


async def list_items(
    session: AsyncSession, job_id: UUID, *, after: int, only_failed: bool, limit: int
) -> Sequence[JobItemRow]:
    """List some items behind a position, in order."""
    statement = (
        select(JobItemRow)
        .where(JobItemRow.job_id == job_id, JobItemRow.position > after)
        .order_by(JobItemRow.position)
        .limit(limit)
    )
    if only_failed:
        statement = statement.where(JobItemRow.failed)
    return (await session.scalars(statement)).all()


async def keep_subjects(session: AsyncSession, subject_ids: Collection[UUID]) -> set[UUID]:
    """Keep subjects from being deleted until the transaction ends; give those that are there."""
    statement = (
        select(SubjectRow.id)
        .where(SubjectRow.id.in_(subject_ids))
        .order_by(SubjectRow.id)
        .with_for_update(read=True, key_share=True)
    )
    return set(await session.scalars(statement))


async def is_revoked(session: AsyncSession, key_id: str | None) -> bool:
    """Tell whether the key that asked for a batch was revoked; one that has expired was not."""
    revoked = select(ApiKeyRow.id).where(ApiKeyRow.id == key_id, ApiKeyRow.revoked_at.is_not(None))
    return await session.scalar(revoked) is not None
