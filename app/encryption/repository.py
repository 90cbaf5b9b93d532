"""SQL of the data keys, and of all that is sealed with them."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.errors import ForeignKeyViolation
from sqlalchemy import Row, bindparam, delete, func, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.encryption.contents import SealedColumn
from app.tables import DataKeyRow


class StoredContent(NamedTuple):
    """One sealed content, or one that is to be sealed."""

    key: tuple[Any, ...]
    """Its row's primary key."""
    content: bytes
    purpose: str
    owner: UUID


async def data_keys(session: AsyncSession) -> Sequence[DataKeyRow]:
    """List all data keys, the oldest first."""
    return (await session.scalars(select(DataKeyRow).order_by(DataKeyRow.id))).all()


async def current_data_key(session: AsyncSession) -> int | None:
    """Tell the id of the data key that seals: the newest; None if there is none."""
    return await session.scalar(select(func.max(DataKeyRow.id)))


async def insert_data_key(session: AsyncSession, key_id: int, wrapped: bytes) -> None:
    """Store a new data key."""
    session.add(DataKeyRow(id=key_id, wrapped=wrapped))
    await session.flush()


async def delete_data_keys_before(session: AsyncSession, key_id: int) -> bool:
    """Delete the older data keys; False if something is still sealed with one of them.

    Waits for transactions that are just storing something with one.
    """
    try:
        async with session.begin_nested():
            await session.execute(delete(DataKeyRow).where(DataKeyRow.id < key_id))
    except IntegrityError:
        return False
    return True


async def count_sealed_before(session: AsyncSession, column: SealedColumn, key_id: int) -> int:
    """Count the contents that are sealed with an older data key."""
    statement = select(func.count()).where(column.data_key_id < key_id)
    return (await session.execute(statement)).scalar_one()


async def sealed_before(
    session: AsyncSession, column: SealedColumn, key_id: int, after: tuple[Any, ...] | None
) -> list[StoredContent]:
    """Lock some contents that are sealed with an older data key, in the order of primary keys.

    Those that others are just changing or deleting are left out.
    """
    statement = _locked(column).where(column.data_key_id < key_id).order_by(*column.key)
    if after is not None:
        statement = statement.where(tuple_(*column.key) > tuple_(*after))
    return [_stored(column, row) for row in await session.execute(statement)]


async def not_sealed(session: AsyncSession, column: SealedColumn) -> list[StoredContent]:
    """Lock some contents that are not sealed: templates, which are float32 alone."""
    statement = _locked(column).where(
        column.data_key_id.is_(None), func.octet_length(column.content) % 4 == 0
    )
    return [_stored(column, row) for row in await session.execute(statement)]


async def replace(
    session: AsyncSession, column: SealedColumn, contents: Sequence[tuple[tuple[Any, ...], bytes]]
) -> None:
    """Put contents in the place of locked ones, given by their rows' primary keys."""
    names = [f"key_{place}" for place in range(len(column.key))]
    statement = (
        update(column.table)
        .where(*(each == bindparam(name) for each, name in zip(column.key, names, strict=True)))
        .values({column.content: bindparam("new_content")})
    )
    await (await session.connection()).execute(
        statement,
        [
            dict(zip(names, key, strict=True)) | {"new_content": content}
            for key, content in contents
        ],
    )


def _locked(column: SealedColumn) -> Any:
    # Not FOR UPDATE: rows that refer to a sample may come and go meanwhile.
    return (
        select(*column.key, column.content, *column.bound_by)
        .limit(column.rows_at_once)
        .with_for_update(key_share=True, skip_locked=True, of=column.table)
    )


def _stored(column: SealedColumn, row: Row[*tuple[Any, ...]]) -> StoredContent:
    place = len(column.key)
    purpose, owner = column.binding(*row[place + 1 :])
    return StoredContent(tuple(row[:place]), row[place], purpose, owner)


def is_of_rotated_key(error: BaseException) -> bool:
    """Tell whether something could not be stored because its data key was just deleted.

    This process has not looked at the data keys since a rotation began: it will within a second.
    """
    original = getattr(error, "orig", None)
    return isinstance(original, ForeignKeyViolation) and str(
        original.diag.constraint_name
    ).endswith("_data_key_id")
