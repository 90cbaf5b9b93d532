"""Receipts of erasures in a file: a restored backup brings back whom it holds, and not those."""

from datetime import datetime
from pathlib import Path
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit import repository as audit
from app.audit.entry import Entry
from app.bundles.repository import ids_of
from app.database import Database
from app.erasures.repository import Erased, delete_reports
from app.erasures.service import Holds, trace
from app.gallery.repository import record_change
from app.problems import SubjectNotFound
from app.subjects.repository import delete_subject
from app.subjects.service import lock_with_collection
from app.tables import ErasureRow


class ReceiptsUnreadable(ValueError):
    """The file holds something else than receipts; the message says where."""


class Receipt(BaseModel):
    """One line of the file; it tells nobody's name."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: UUID
    collection_id: UUID
    subject_id: UUID
    samples: int
    variants: int
    pictures: int
    feedback: int
    erased_at: datetime


async def receipt_lines(database: Database) -> list[str]:
    """Write all receipts, each a line of JSON, oldest first."""
    async with database.snapshot() as session:
        rows = await session.scalars(select(ErasureRow).order_by(ErasureRow.erased_at))
        return [Receipt.model_validate(row).model_dump_json() for row in rows]


def read_receipts(path: Path) -> list[Receipt]:
    """Read what was written so.

    Raises:
        ReceiptsUnreadable: it is something else.
        OSError: it can't be read.
    """
    receipts = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            receipts.append(Receipt.model_validate_json(line))
        except ValidationError:
            raise ReceiptsUnreadable(f"line {number} is no receipt of an erasure") from None
    return receipts


async def erase_again(session: AsyncSession, receipt: Receipt, holds: Holds) -> bool:
    """Keep a receipt, and erase its subject if it is there; tell whether it was.

    The receipt then tells which bundles hold the subject again, and is completed when they are
    gone: as the first time.
    """
    await session.execute(insert(ErasureRow).values(receipt.model_dump()).on_conflict_do_nothing())
    try:
        row = await lock_with_collection(session, receipt.subject_id)
    except SubjectNotFound:
        return False
    bundle_ids = await ids_of(session, row.collection_id)
    await trace(session, [Erased(receipt.id, row.id)], bundle_ids, holds)
    entry = Entry(
        request_id="restore",
        key_id=None,
        action="restore_erasure",
        collection_id=row.collection_id,
        subject_ids=(row.id,),
        outcome="erased",
        status=204,
        address=None,
    )
    await audit.insert(session, [entry.document()])
    await delete_reports(session, collection_id=row.collection_id, subject_id=row.id)
    await delete_subject(session, row.id)
    await record_change(
        session, collection_id=row.collection_id, subject_id=row.id, kind="subject_deleted"
    )
    return True
