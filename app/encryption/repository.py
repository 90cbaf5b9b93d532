"""SQL of the data keys."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.tables import DataKeyRow


async def data_keys(session: AsyncSession) -> Sequence[DataKeyRow]:
    """List all data keys, the oldest first."""
    return (await session.scalars(select(DataKeyRow).order_by(DataKeyRow.id))).all()


async def insert_data_key(session: AsyncSession, key_id: int, wrapped: bytes) -> None:
    """Store a new data key."""
    session.add(DataKeyRow(id=key_id, wrapped=wrapped))
    await session.flush()
