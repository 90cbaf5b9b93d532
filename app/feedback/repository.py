"""SQL of the feedback, and of the key that identification ids are sealed with."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.tables import FeedbackRow, SecretRow

Verdict = Literal["confirmed", "rejected"]
"""Whether a face is the subject's."""


async def shared_key(session: AsyncSession, *, name: str, fresh: bytes) -> bytes:
    """Give the key of a name; the fresh one if there was none, whoever comes first."""
    await session.execute(insert(SecretRow).values(name=name, value=fresh).on_conflict_do_nothing())
    return (
        await session.execute(select(SecretRow.value).where(SecretRow.name == name))
    ).scalar_one()


async def replace_key(session: AsyncSession, *, name: str, value: bytes) -> None:
    """Store the key of a name in another way."""
    await session.execute(update(SecretRow).where(SecretRow.name == name).values(value=value))


async def upsert(
    session: AsyncSession,
    *,
    collection_id: UUID,
    subject_id: UUID,
    identification_sha256: bytes,
    verdict: Verdict,
    template: bytes,
) -> FeedbackRow | None:
    """Store a verdict, or change the one on the same identification; None if it is that already."""
    statement = insert(FeedbackRow).values(
        collection_id=collection_id,
        subject_id=subject_id,
        identification_sha256=identification_sha256,
        verdict=verdict,
        template=template,
    )
    return await session.scalar(
        statement.on_conflict_do_update(
            index_elements=[FeedbackRow.subject_id, FeedbackRow.identification_sha256],
            set_={"verdict": verdict, "created_at": func.clock_timestamp()},
            where=FeedbackRow.verdict != verdict,
        ).returning(FeedbackRow)
    )


async def find(
    session: AsyncSession, *, subject_id: UUID, identification_sha256: bytes
) -> FeedbackRow:
    """Give the verdict on an identification that is known to be there."""
    return (
        await session.scalars(
            select(FeedbackRow).where(
                FeedbackRow.subject_id == subject_id,
                FeedbackRow.identification_sha256 == identification_sha256,
            )
        )
    ).one()


async def list_of(session: AsyncSession, subject_id: UUID) -> Sequence[FeedbackRow]:
    """List what was said of a subject, oldest first."""
    return (
        await session.scalars(
            select(FeedbackRow)
            .where(FeedbackRow.subject_id == subject_id)
            .order_by(FeedbackRow.created_at, FeedbackRow.id)
        )
    ).all()


async def delete_one(session: AsyncSession, *, subject_id: UUID, feedback_id: UUID) -> bool:
    """Delete a verdict; False if the subject has none of this id."""
    deleted = await session.scalar(
        delete(FeedbackRow)
        .where(FeedbackRow.id == feedback_id, FeedbackRow.subject_id == subject_id)
        .returning(FeedbackRow.id)
    )
    return deleted is not None
