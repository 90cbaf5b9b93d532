"""SQL of the erasures, and of the bundles that still hold what they learnt of the erased.

`record_traces` and the deletion of a bundle's row need the collection's lock
(app/bundles/repository.py): whoever deletes a subject keeps that lock from being taken, so neither
misses what the other writes.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Uuid,
    case,
    delete,
    exists,
    func,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.gallery.repository import ChangeKind
from app.idempotency.repository import forget_answers
from app.keys.caller import seen_collections
from app.paging import Position
from app.tables import (
    BundleRow,
    ChangeRow,
    CollectionRow,
    ErasureBundleRow,
    ErasureRow,
    FeedbackRow,
    JobItemRow,
    JobRow,
    PictureRow,
    SampleRow,
    SubjectRow,
    VariantRow,
)

DELETED: ChangeKind = "subject_deleted"
CACHES_CLEARED_S = 300.0
"""After which a bundle that left the store has left the caches of all replicas that run, too: each
looks every few seconds (app/bundles/keeper.py)."""


class StoredErasure(NamedTuple):
    """A receipt, and since when nothing is left of the subject; None: something is."""

    row: ErasureRow
    completed_at: datetime | None


class Trace(NamedTuple):
    """A bundle that was trained with an erased subject."""

    erasure_id: UUID
    bundle_id: str
    active: bool
    cleared_at: datetime | None


class Erased(NamedTuple):
    """A receipt, and whose it is."""

    erasure_id: UUID
    subject_id: UUID


async def write_receipts(
    session: AsyncSession, *, collection_id: UUID, subject_id: UUID | None = None
) -> list[Erased]:
    """Write the receipt of a subject, or of all of a collection, just before it is deleted."""

    def how_many(*joined: ColumnElement[bool], of: type) -> ColumnElement[int]:
        return select(func.count()).select_from(of).where(*joined).scalar_subquery()

    subjects = select(
        func.gen_random_uuid(),
        SubjectRow.collection_id,
        SubjectRow.id,
        how_many(SampleRow.subject_id == SubjectRow.id, of=SampleRow),
        how_many(
            VariantRow.sample_id == SampleRow.id,
            SampleRow.subject_id == SubjectRow.id,
            of=VariantRow,
        ),
        how_many(
            PictureRow.sample_id == SampleRow.id,
            SampleRow.subject_id == SubjectRow.id,
            of=PictureRow,
        ),
        how_many(FeedbackRow.subject_id == SubjectRow.id, of=FeedbackRow),
    ).where(SubjectRow.collection_id == collection_id)
    if subject_id is not None:
        subjects = subjects.where(SubjectRow.id == subject_id)
    columns = ["id", "collection_id", "subject_id", "samples", "variants", "pictures", "feedback"]
    written = await session.execute(
        insert(ErasureRow)
        .from_select(columns, subjects)
        .returning(ErasureRow.id, ErasureRow.subject_id)
    )
    return [Erased(*row) for row in written]


async def delete_reports(
    session: AsyncSession, *, collection_id: UUID, subject_id: UUID | None = None
) -> None:
    """Delete what batches and kept answers tell of a subject, or of all of a collection.

    Just before those are deleted: no foreign key leads there, since a report can be written after
    its subject is gone.
    """
    told = select(SubjectRow.id).where(SubjectRow.collection_id == collection_id)
    if subject_id is not None:
        told = told.where(SubjectRow.id == subject_id)
        names_it = JobItemRow.subject_ids.bool_op("@>")([subject_id])
        await session.execute(delete(JobItemRow).where(names_it))
    # The reports on a collection go with its jobs.
    await forget_answers(session, told)


async def add_traces(session: AsyncSession, bundle_id: str, erasure_ids: Sequence[UUID]) -> None:
    """Note on receipts that a bundle was trained with their subjects.

    What is noted already stays as it is.
    """
    # As one parameter: a deleted collection may have had any number of subjects.
    erasures = func.unnest(literal(list(erasure_ids), ARRAY(Uuid)))
    await session.execute(
        insert(ErasureBundleRow)
        .from_select(["erasure_id", "bundle_id"], select(erasures, literal(bundle_id)))
        .on_conflict_do_nothing()
    )


async def record_traces(
    session: AsyncSession,
    collection_id: UUID,
    bundle_id: str,
    *,
    holds: Callable[[Sequence[UUID]], list[bool]],
) -> None:
    """Note a new bundle on the receipts of those who were erased while it was trained.

    Args:
        session: in which the bundle's row is there already.
        collection_id: whose bundle it is.
        bundle_id: its id.
        holds: tells of each of some subjects whether the bundle was trained with it; it is called
            in a thread.
    """
    watermark = select(BundleRow.watermark).where(BundleRow.id == bundle_id).scalar_subquery()
    erased_since = (
        select(ErasureRow.id, ErasureRow.subject_id)
        .join(ChangeRow, ChangeRow.subject_id == ErasureRow.subject_id)
        .where(
            ChangeRow.collection_id == collection_id,
            ChangeRow.revision > watermark,
            ChangeRow.kind == DELETED,
        )
    )
    erased = [Erased(*row) for row in await session.execute(erased_since)]
    held = await asyncio.to_thread(holds, [each.subject_id for each in erased])
    await add_traces(
        session,
        bundle_id,
        [each.erasure_id for each, is_held in zip(erased, held, strict=True) if is_held],
    )


async def deleted_bundles(session: AsyncSession) -> set[str]:
    """List the bundles on receipts that were deleted, and are not known to be gone everywhere."""
    found = await session.scalars(
        select(ErasureBundleRow.bundle_id)
        .where(ErasureBundleRow.cleared_at.is_(None))
        .where(~exists().where(BundleRow.id == ErasureBundleRow.bundle_id))
        .distinct()
    )
    return set(found)


async def on_receipts(session: AsyncSession, bundle_ids: Collection[str]) -> set[str]:
    """Give those of some bundles that were trained with somebody who was deleted since."""
    if not bundle_ids:
        return set()
    found = await session.scalars(
        select(ErasureBundleRow.bundle_id)
        .where(ErasureBundleRow.bundle_id.in_(bundle_ids))
        .distinct()
    )
    return set(found)


async def note_cleared(session: AsyncSession, bundle_ids: Collection[str], *, cached: bool) -> None:
    """Note on all receipts that bundles are gone; where replicas cache them, from when on."""
    wait = func.make_interval(0, 0, 0, 0, 0, 0, CACHES_CLEARED_S if cached else 0.0)
    await session.execute(
        update(ErasureBundleRow)
        .where(ErasureBundleRow.bundle_id.in_(bundle_ids), ErasureBundleRow.cleared_at.is_(None))
        .values(cleared_at=func.clock_timestamp() + wait)
    )


async def find(session: AsyncSession, erasure_id: UUID) -> StoredErasure | None:
    """Find a receipt."""
    row = (await session.execute(_erasures().where(ErasureRow.id == erasure_id))).first()
    return None if row is None else StoredErasure(*row)


async def list_page(
    session: AsyncSession,
    *,
    collection_id: UUID | None,
    only_open: bool,
    limit: int,
    after: Position | None,
) -> list[StoredErasure]:
    """List receipts, oldest first; those that are not completed, of one collection, if asked.

    Those of collections that the caller may not know of are left out.
    """
    statement = _erasures().order_by(ErasureRow.erased_at, ErasureRow.id).limit(limit)
    if collection_id is not None:
        statement = statement.where(ErasureRow.collection_id == collection_id)
    if (seen := seen_collections()) is not None:
        its_own = select(CollectionRow.id).where(CollectionRow.name.in_(seen))
        statement = statement.where(ErasureRow.collection_id.in_(its_own))
    if only_open:
        statement = statement.where(_is_open())
    if after is not None:
        statement = statement.where(tuple_(ErasureRow.erased_at, ErasureRow.id) > tuple_(*after))
    return [StoredErasure(*row) for row in await session.execute(statement)]


async def traces_of(session: AsyncSession, erasure_ids: Sequence[UUID]) -> list[Trace]:
    """List the bundles of some receipts."""
    rows = await session.execute(
        select(
            ErasureBundleRow.erasure_id,
            ErasureBundleRow.bundle_id,
            func.coalesce(BundleRow.active, False),
            case((_is_cleared(), ErasureBundleRow.cleared_at), else_=None),
        )
        .outerjoin(BundleRow, BundleRow.id == ErasureBundleRow.bundle_id)
        .where(ErasureBundleRow.erasure_id.in_(erasure_ids))
        .order_by(ErasureBundleRow.bundle_id)
    )
    return [Trace(*row) for row in rows]


def _of_this() -> ColumnElement[bool]:
    return ErasureBundleRow.erasure_id == ErasureRow.id


def _is_cleared() -> ColumnElement[bool]:
    return ErasureBundleRow.cleared_at <= func.clock_timestamp()


def _under_way_then() -> ColumnElement[bool]:
    """A training that had begun: until it ends, its bundle may come to hold the subject."""
    return (
        (JobRow.kind == "retraining")
        & (JobRow.collection_id == ErasureRow.collection_id)
        & (JobRow.created_at < ErasureRow.erased_at)
    )


def _is_open() -> ColumnElement[bool]:
    return exists().where(_of_this(), _is_cleared().is_not(True)) | exists().where(
        _under_way_then(), JobRow.finished_at.is_(None)
    )


def _erasures() -> Select[ErasureRow, datetime | None]:
    last_cleared = select(func.max(ErasureBundleRow.cleared_at)).where(_of_this())
    last_trained = select(func.max(JobRow.finished_at)).where(_under_way_then())
    # Postgres leaves NULLs out of GREATEST.
    completed_at = func.greatest(
        ErasureRow.erased_at, last_cleared.scalar_subquery(), last_trained.scalar_subquery()
    )
    return select(ErasureRow, case((_is_open(), None), else_=completed_at))
