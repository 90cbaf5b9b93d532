"""SQL of the API keys."""

from collections.abc import Sequence

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.migrate import START_LOCK
from app.tables import ApiKeyRow


async def lock_start(session: AsyncSession) -> None:
    """Let one replica at a time do what is done at start, until its transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": START_LOCK})


async def exists_any(session: AsyncSession) -> bool:
    """Tell whether a key was ever made, be it revoked."""
    return await session.scalar(select(ApiKeyRow.id).limit(1)) is not None


async def find(session: AsyncSession, key_id: str) -> ApiKeyRow | None:
    """Find a key by its public part."""
    return await session.get(ApiKeyRow, key_id)


async def list_all(session: AsyncSession) -> Sequence[ApiKeyRow]:
    """List all keys, oldest first."""
    return (await session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.created_at))).all()


async def insert(session: AsyncSession, row: ApiKeyRow) -> None:
    """Store a new key."""
    session.add(row)
    await session.flush()
    await session.refresh(row)


async def revoke(session: AsyncSession, key_id: str) -> bool:
    """Mark a key as revoked; tell whether there is such a key. Its first time stays."""
    revoked_at = func.coalesce(ApiKeyRow.revoked_at, func.clock_timestamp())
    return (
        await session.scalar(
            update(ApiKeyRow)
            .where(ApiKeyRow.id == key_id)
            .values(revoked_at=revoked_at)
            .returning(ApiKeyRow.id)
        )
        is not None
    )
