"""SQL of the API keys."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.migrate import START_LOCK
from app.tables import ApiKeyRow, CollectionRow


async def lock_start(session: AsyncSession) -> None:
    """Let one replica at a time do what is done at start, until its transaction ends."""
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": START_LOCK})


async def exists_any(session: AsyncSession) -> bool:
    """Tell whether a key was ever made, be it revoked."""
    return await session.scalar(select(ApiKeyRow.id).limit(1)) is not None


async def find_valid(
    session: AsyncSession, key_id: str, *, token_sha256: bytes
) -> ApiKeyRow | None:
    """Find the key of a token, unless it is revoked or has expired."""
    # All in one condition: whatever is wrong, there is no row, and as much is done.
    return await session.scalar(
        select(ApiKeyRow).where(
            ApiKeyRow.id == key_id,
            ApiKeyRow.token_sha256 == token_sha256,
            ApiKeyRow.revoked_at.is_(None),
            func.coalesce(ApiKeyRow.expires_at > func.clock_timestamp(), True),
        )
    )


async def lock(session: AsyncSession, key_id: str) -> ApiKeyRow | None:
    """Find a key by its public part, and keep others from changing it."""
    return await session.scalar(select(ApiKeyRow).where(ApiKeyRow.id == key_id).with_for_update())


async def now(session: AsyncSession) -> datetime:
    """Tell the time by the database's clock, which all replicas share."""
    time: datetime = (await session.scalars(select(func.clock_timestamp()))).one()
    return time


async def collection_names(session: AsyncSession) -> set[str]:
    """List the names of all collections."""
    return set(await session.scalars(select(CollectionRow.name)))


async def note_uses(session: AsyncSession, used: Mapping[str, datetime]) -> None:
    """Write down when keys were used last; what another replica has seen later stays."""
    table = ApiKeyRow.__table__
    statement = (
        update(ApiKeyRow)
        .where(table.c.id == bindparam("key_id"))
        .values(last_used_at=func.greatest(ApiKeyRow.last_used_at, bindparam("used_at")))
    )
    connection = await session.connection()
    # In one order, as other replicas do: two that wait for each other would both lose.
    rows = [{"key_id": key_id, "used_at": used[key_id]} for key_id in sorted(used)]
    await connection.execute(statement, rows)


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
