"""Write and show the receipts of erasures."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.facts import note
from app.bundles.repository import ids_of
from app.database import Database
from app.erasures import repository
from app.erasures.repository import Erased, StoredErasure
from app.erasures.schemas import ErasureOut, ErasurePage, Removed, TracedBundle
from app.gallery.lookup import find_collection_id
from app.gallery.service import Galleries
from app.logs import get_logger
from app.paging import Position, read_cursor, write_cursor
from app.problems import ErasureNotFound
from models.bundle_format import BundleInvalid

Holds = Callable[[str, Sequence[UUID]], list[bool]]
"""Tells of each of some subjects whether a bundle, by its id, was trained with it; see
`BundleFiles.holds`."""

log = get_logger()


async def write_receipt(
    session: AsyncSession, *, collection_id: UUID, subject_id: UUID, holds: Holds
) -> UUID:
    """Write the receipt of a subject that the transaction is about to delete; give its id."""
    (erased,) = await repository.write_receipts(
        session, collection_id=collection_id, subject_id=subject_id
    )
    await trace(session, [erased], await ids_of(session, collection_id), holds)
    return erased.erasure_id


async def write_receipts_of_all(
    session: AsyncSession, *, collection_id: UUID, bundle_ids: Sequence[str], holds: Holds
) -> None:
    """Write the receipts of a collection that the transaction is about to delete.

    Args:
        session: with the collection's lock.
        collection_id: of it.
        bundle_ids: that it had.
        holds: see `Holds`.
    """
    erased = await repository.write_receipts(session, collection_id=collection_id)
    await trace(session, erased, bundle_ids, holds)


async def trace(
    session: AsyncSession, erased: Sequence[Erased], bundle_ids: Sequence[str], holds: Holds
) -> None:
    """Note on receipts which of some bundles their subjects may be in."""
    for bundle_id in bundle_ids:
        held = await asyncio.to_thread(_may_be_in, bundle_id, erased, holds)
        await repository.add_traces(session, bundle_id, held)


async def get_erasure(*, erasure_id: UUID, database: Database) -> ErasureOut:
    """Show a receipt as it is now.

    Raises:
        ErasureNotFound: there is none of this id.
    """
    async with database.snapshot() as session:
        stored = await repository.find(session, erasure_id)
        if stored is None:
            raise ErasureNotFound("No erasure has this id.")
        note(collection_id=stored.row.collection_id, subject_ids=[stored.row.subject_id])
        (shown,) = await _show(session, [stored])
    return shown


async def list_erasures(
    *,
    collection: str | None,
    only_open: bool,
    limit: int,
    cursor: str | None,
    database: Database,
    galleries: Galleries,
) -> ErasurePage:
    """List a page of the receipts, oldest first.

    Raises:
        CollectionNotFound: there is no such collection.
        InvalidCursor: the cursor is not from an earlier page.
    """
    collection_id = None if collection is None else await find_collection_id(galleries, collection)
    after = None if cursor is None else read_cursor(cursor)
    async with database.snapshot() as session:
        # One more than is shown tells whether there are more.
        found = await repository.list_page(
            session,
            collection_id=collection_id,
            only_open=only_open,
            limit=limit + 1,
            after=after,
        )
        shown = await _show(session, found[:limit])
    last = Position(shown[-1].erased_at, shown[-1].erasure_id) if len(found) > limit else None
    return ErasurePage(erasures=shown, next_cursor=last and write_cursor(last))


def _may_be_in(bundle_id: str, erased: Sequence[Erased], holds: Holds) -> list[UUID]:
    """Give the ids of those receipts whose subjects may be in a bundle. It blocks."""
    try:
        held = holds(bundle_id, [each.subject_id for each in erased])
    except BundleInvalid as error:
        # It is elsewhere, or damaged: nobody can say who is not in it, and they have to go in any
        # case.
        log.warning("bundle_not_read", bundle=bundle_id, reason=str(error))
        held = [True] * len(erased)
    return [each.erasure_id for each, is_held in zip(erased, held, strict=True) if is_held]


async def _show(session: AsyncSession, erasures: Sequence[StoredErasure]) -> list[ErasureOut]:
    bundles: defaultdict[UUID, list[TracedBundle]] = defaultdict(list)
    for trace in await repository.traces_of(session, [each.row.id for each in erasures]):
        bundles[trace.erasure_id].append(
            TracedBundle(
                bundle_id=trace.bundle_id, active=trace.active, cleared_at=trace.cleared_at
            )
        )
    return [
        ErasureOut(
            erasure_id=row.id,
            subject_id=row.subject_id,
            collection_id=row.collection_id,
            removed=Removed(
                samples=row.samples,
                variants=row.variants,
                pictures=row.pictures,
                feedback=row.feedback,
            ),
            erased_at=row.erased_at,
            bundles=bundles[row.id],
            completed_at=completed_at,
        )
        for row, completed_at in erasures
    ]
