"""SQL of retention: whose time is over, and who may look."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import NOTICE_LOSS
from app.tables import CollectionRow, SampleRow, SubjectRow

LOCK_KEY = 0x436F_686F_7274_0008
"""Of the advisory lock of who purges: any number that nothing else in this project locks."""

PERSONAL_TABLES = (
    "subjects",
    "samples",
    "variants",
    "pictures",
    "next_templates",
    "feedback",
    "job_items",
    "uploads",
    "idempotency",
)
"""Whose rows are of subjects: what is deleted from them should leave their files, too."""


@asynccontextmanager
async def purge_lock(
    address: str, *, wait: bool
) -> AsyncIterator[psycopg.AsyncConnection[tuple[object, ...]] | None]:
    """Have nobody else purge while the block runs; None: somebody else does, and we don't wait.

    The lock goes with its connection, so it never outlives who has it.

    Args:
        address: of the database, `postgresql://...`.
        wait: for who has it.

    Raises:
        psycopg.OperationalError: the database can't be reached.
    """
    connection = await psycopg.AsyncConnection.connect(address, autocommit=True)
    try:
        await connection.execute(NOTICE_LOSS)
        if wait:
            await connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
            yield connection
            return
        found = await connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY])
        (is_ours,) = await found.fetchone() or (False,)
        yield connection if is_ours else None
    finally:
        await connection.close()


async def outlived_subjects(session: AsyncSession, *, after: UUID, limit: int) -> Sequence[UUID]:
    """List some subjects that are older than their collections keep them, in order of their ids."""
    found = await session.scalars(
        select(SubjectRow.id)
        .join(CollectionRow, CollectionRow.id == SubjectRow.collection_id)
        .where(SubjectRow.id > after, _is_outlived())
        .order_by(SubjectRow.id)
        .limit(limit)
    )
    return found.all()


async def is_outlived(session: AsyncSession, subject_id: UUID) -> bool:
    """Tell whether a subject, by its id, is older than its collection keeps it."""
    found = await session.scalar(
        select(SubjectRow.id)
        .join(CollectionRow, CollectionRow.id == SubjectRow.collection_id)
        .where(SubjectRow.id == subject_id, _is_outlived())
    )
    return found is not None


def _is_outlived() -> ColumnElement[bool]:
    """Neither the subject nor a sample of it was made within its collection's days, if it has any.

    Without samples the subject's own date is all there is.
    """
    since = func.now() - func.make_interval(0, 0, 0, CollectionRow.subject_days)
    enrolled_since = select(SampleRow.id).where(
        SampleRow.subject_id == SubjectRow.id, SampleRow.created_at >= since
    )
    # Compared with NULL, nothing is older.
    return and_(SubjectRow.created_at < since, ~enrolled_since.exists())


async def vacuum(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> list[str]:
    """Have Postgres take deleted rows out of the tables of subjects, and out of their indexes.

    Left alone it does so when a fifth of a table has changed, which can be never. Tables that
    nothing was deleted from since the last time are left alone.

    Returns:
        Names of the tables that were cleaned.
    """
    found = await connection.execute(
        "SELECT relname FROM pg_stat_user_tables"
        " WHERE schemaname = current_schema() AND n_dead_tup > 0 AND relname = ANY(%s)"
        " ORDER BY relname",
        [list(PERSONAL_TABLES)],
    )
    tables = [str(name) for (name,) in await found.fetchall()]
    for table in tables:
        # Else it leaves the indexes as they are while few rows are dead; those hold names.
        await connection.execute(
            sql.SQL("VACUUM (INDEX_CLEANUP ON) {}").format(sql.Identifier(table))
        )
    return tables
