"""Read the audit log."""

from collections.abc import AsyncIterator

from app.audit import repository
from app.audit.repository import Wanted
from app.audit.schemas import AuditEntry, AuditPage
from app.database import Database
from app.paging import Position, read_cursor, write_cursor

EXPORTED_AT_ONCE = 1000


async def list_entries(
    *, wanted: Wanted, limit: int, cursor: str | None, database: Database
) -> AuditPage:
    """List a page of entries, the newest first.

    Raises:
        InvalidCursor: the cursor is not from an earlier page.
    """
    after = None if cursor is None else read_cursor(cursor)
    async with database.snapshot() as session:
        # One more than is shown tells whether there are more.
        found = await repository.list_page(session, wanted, limit=limit + 1, after=after)
    shown = found[:limit]
    last = Position(shown[-1].at, shown[-1].id) if len(found) > limit else None
    return AuditPage(
        entries=[AuditEntry.of(row) for row in shown], next_cursor=last and write_cursor(last)
    )


async def export_entries(*, wanted: Wanted, database: Database) -> AsyncIterator[bytes]:
    """Give all entries, the newest first: many lines of NDJSON at a time.

    Each part is read in a transaction of its own, so that a slow reader holds none open.
    """
    after: Position | None = None
    while True:
        async with database.snapshot() as session:
            rows = await repository.list_page(session, wanted, limit=EXPORTED_AT_ONCE, after=after)
        if not rows:
            return
        yield b"".join(AuditEntry.of(row).model_dump_json().encode() + b"\n" for row in rows)
        after = Position(rows[-1].at, rows[-1].id)
