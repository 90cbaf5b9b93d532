"""SQL of the audit log."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, cast, delete, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.paging import Position
from app.tables import AuditRow

PURGED_AT_ONCE = 10_000

# One statement for any number of entries, in the form that the spool has them in.
_INSERT = text("""
    INSERT INTO audit
        (id, at, request_id, key_id, action, collection_id, subject_ids, outcome, status, address)
    SELECT id, at, request_id, key_id, action, collection_id, subject_ids, outcome, status, address
    FROM jsonb_to_recordset(CAST(:entries AS jsonb)) AS entries
        (id uuid, at timestamptz, request_id text, key_id text, action text, collection_id uuid,
         subject_ids uuid[], outcome text, status integer, address text)
    ON CONFLICT (id) DO NOTHING
""")


@dataclass(frozen=True)
class Wanted:
    """Which entries are asked for; None: whichever."""

    collection_ids: Collection[UUID] | None = None
    subject_id: UUID | None = None
    key_id: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Not including this very moment."""


async def insert(session: AsyncSession, documents: Sequence[dict[str, Any]]) -> None:
    """Write entries, given as `Entry.document`; those that are there already stay as they are."""
    await session.execute(_INSERT, {"entries": json.dumps(documents)})


async def list_page(
    session: AsyncSession, wanted: Wanted, *, limit: int, after: Position | None
) -> Sequence[AuditRow]:
    """List entries, the newest first, beginning behind a position."""
    query = select(AuditRow).order_by(AuditRow.at.desc(), AuditRow.id.desc()).limit(limit)
    if after is not None:
        query = query.where(tuple_(AuditRow.at, AuditRow.id) < tuple_(after.at, after.row_id))
    if wanted.collection_ids is not None:
        query = query.where(AuditRow.collection_id.in_(wanted.collection_ids))
    if wanted.subject_id is not None:
        # What the index can answer.
        holds = AuditRow.subject_ids.bool_op("@>")
        query = query.where(holds(cast([wanted.subject_id], ARRAY(Uuid))))
    if wanted.key_id is not None:
        query = query.where(AuditRow.key_id == wanted.key_id)
    if wanted.action is not None:
        query = query.where(AuditRow.action == wanted.action)
    if wanted.since is not None:
        query = query.where(AuditRow.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditRow.at < wanted.until)
    return (await session.scalars(query)).all()


async def purge(session: AsyncSession, *, days: int) -> int:
    """Delete some of the entries that are older than so many days; tell how many."""
    await session.execute(text("SET LOCAL cohort.audit_retention = 'over'"))
    over = (
        select(AuditRow.id)
        .where(AuditRow.at < func.now() - func.make_interval(0, 0, 0, days))
        .limit(PURGED_AT_ONCE)
    )
    deleted = await session.scalars(
        delete(AuditRow).where(AuditRow.id.in_(over)).returning(AuditRow.id)
    )
    return len(deleted.all())
