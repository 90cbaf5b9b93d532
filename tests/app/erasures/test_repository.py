"""Receipts against a plain account of what happened, in Python's own words."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, insert, make_url, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.collections.repository import insert_if_new
from app.database import Database
from app.erasures import repository
from app.erasures.repository import StoredErasure
from app.gallery.repository import record_change
from app.paging import Position
from app.subjects.repository import delete_subject
from app.tables import (
    BundleRow,
    CollectionRow,
    FeedbackRow,
    JobRow,
    SampleRow,
    SubjectRow,
    VariantRow,
)
from models.identifier import QueryPath


@pytest.fixture
async def session(database_url: str) -> AsyncIterator[AsyncSession]:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    database = Database.connect(url, pool_size=1)
    async with database.transaction() as session:
        yield session
    await database.close()


@pytest.fixture
async def collection(session: AsyncSession, query_path: QueryPath) -> CollectionRow:
    row = await insert_if_new(session, name="c", embedder=query_path.embedder.manifest)
    assert row is not None
    return row


async def add_subject(
    session: AsyncSession, collection: CollectionRow, *, samples: int, variants: int, feedback: int
) -> UUID:
    """Add a subject, so many samples, so many variants of each, and so many verdicts."""
    subject_id = uuid4()
    await session.execute(
        insert(SubjectRow).values(id=subject_id, collection_id=collection.id, metadata_={})
    )
    for _ in range(samples):
        sample_id = uuid4()
        await session.execute(
            insert(SampleRow).values(
                id=sample_id,
                subject_id=subject_id,
                template=b"",
                picture_sha256=uuid4().bytes,
                quality_score=1,
                quality_reasons=[],
            )
        )
        for _ in range(variants):
            await session.execute(
                insert(VariantRow).values(sample_id=sample_id, kind="blurred", template=b"")
            )
    for _ in range(feedback):
        await session.execute(
            insert(FeedbackRow).values(
                collection_id=collection.id,
                subject_id=subject_id,
                identification_sha256=uuid4().bytes,
                verdict="rejected",
                template=b"",
            )
        )
    return subject_id


async def add_job(session: AsyncSession, collection: CollectionRow) -> UUID:
    job_id = uuid4()
    await session.execute(
        insert(JobRow).values(
            id=job_id,
            collection_id=collection.id,
            state="running",
            progress=0,
            message="",
            options={},
            metrics={},
            cancel_requested=False,
        )
    )
    return job_id


async def add_bundle(
    session: AsyncSession,
    collection: CollectionRow,
    bundle_id: str,
    *,
    watermark: int = 0,
    active: bool = False,
) -> None:
    await session.execute(
        insert(BundleRow).values(
            id=bundle_id,
            collection_id=collection.id,
            watermark=watermark,
            classes=1,
            subnets=1,
            metrics={},
            active=active,
        )
    )


async def erase(session: AsyncSession, collection: CollectionRow) -> UUID:
    """Delete somebody; give the id of the receipt."""
    subject_id = await add_subject(session, collection, samples=0, variants=0, feedback=0)
    (erased,) = await repository.write_receipts(
        session, collection_id=collection.id, subject_id=subject_id
    )
    await delete_subject(session, subject_id)
    await record_change(
        session, collection_id=collection.id, subject_id=subject_id, kind="subject_deleted"
    )
    return erased.erasure_id


async def receipt(session: AsyncSession, erasure_id: UUID) -> StoredErasure:
    stored = await repository.find(session, erasure_id)
    assert stored is not None
    return stored


async def now(session: AsyncSession) -> datetime:
    at: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
    return at


async def test_a_receipt_counts_what_is_the_subjects_own(
    session: AsyncSession, collection: CollectionRow
) -> None:
    counted = await add_subject(session, collection, samples=3, variants=2, feedback=4)
    await add_subject(session, collection, samples=1, variants=1, feedback=1)
    (erased,) = await repository.write_receipts(
        session, collection_id=collection.id, subject_id=counted
    )
    stored = await receipt(session, erased.erasure_id)
    assert erased.subject_id == counted
    assert stored.row.subject_id == counted
    assert stored.row.collection_id == collection.id
    assert (stored.row.samples, stored.row.variants, stored.row.feedback) == (3, 6, 4)
    # No bundle was trained with it, so nothing is left.
    assert stored.completed_at == stored.row.erased_at


async def test_a_whole_collection_gets_a_receipt_for_each_subject(
    session: AsyncSession, collection: CollectionRow, query_path: QueryPath
) -> None:
    other = await insert_if_new(session, name="other", embedder=query_path.embedder.manifest)
    assert other is not None
    await add_subject(session, other, samples=1, variants=0, feedback=0)
    expected = {
        await add_subject(session, collection, samples=n, variants=1, feedback=0): n
        for n in range(3)
    }
    written = await repository.write_receipts(session, collection_id=collection.id)
    rows = [(await receipt(session, each.erasure_id)).row for each in written]
    assert [row.subject_id for row in rows] == [each.subject_id for each in written]
    assert {row.subject_id: row.samples for row in rows} == expected
    assert {row.subject_id: row.variants for row in rows} == expected


async def test_a_receipt_is_completed_when_the_last_bundle_is_deleted(
    session: AsyncSession, collection: CollectionRow
) -> None:
    erasure_id = await erase(session, collection)
    for bundle_id in ("b1", "b2"):
        await repository.add_traces(session, bundle_id, [erasure_id])
    assert (await receipt(session, erasure_id)).completed_at is None

    await repository.note_cleared(session, ["b1"], cached=False)
    assert (await receipt(session, erasure_id)).completed_at is None

    before = await now(session)
    await repository.note_cleared(session, ["b2"], cached=False)
    completed_at = (await receipt(session, erasure_id)).completed_at
    assert completed_at is not None
    assert before < completed_at < await now(session)
    # What is gone is gone once.
    await repository.note_cleared(session, ["b2"], cached=False)
    assert (await receipt(session, erasure_id)).completed_at == completed_at


async def test_a_new_bundle_is_noted_where_it_holds_the_erased(
    session: AsyncSession, collection: CollectionRow, query_path: QueryPath
) -> None:
    other = await insert_if_new(session, name="other", embedder=query_path.embedder.manifest)
    assert other is not None
    before = await erase(session, collection)
    # Made of revision 1: it can't hold who was deleted by it, and is not even asked for them.
    await add_bundle(session, collection, "b", watermark=1)
    held, not_held, elsewhere = [
        await erase(session, each) for each in (collection, collection, other)
    ]
    ids = [before, held, not_held, elsewhere]
    subjects = [(await receipt(session, each)).row.subject_id for each in ids]
    asked: list[UUID] = []

    def holds(subject_ids: Sequence[UUID]) -> list[bool]:
        asked.extend(subject_ids)
        return [each != subjects[2] for each in subject_ids]

    for _ in range(2):  # a second publication of the same bundle changes nothing
        await repository.record_traces(session, collection.id, "b", holds=holds)
    assert sorted(asked) == sorted(2 * subjects[1:3])
    traces = await repository.traces_of(session, ids)
    assert [(each.erasure_id, each.bundle_id, each.cleared_at) for each in traces] == [
        (held, "b", None)
    ]
    assert (await receipt(session, held)).completed_at is None
    assert (await receipt(session, not_held)).completed_at is not None


async def test_traces_say_which_bundle_is_active(
    session: AsyncSession, collection: CollectionRow
) -> None:
    erasure_id = await erase(session, collection)
    for bundle_id, active in (("a", False), ("b", True)):
        await add_bundle(session, collection, bundle_id, active=active)
    for bundle_id in "cba":
        await repository.add_traces(session, bundle_id, [erasure_id])
    traces = await repository.traces_of(session, [erasure_id])
    assert [(each.bundle_id, each.active) for each in traces] == [
        ("a", False),
        ("b", True),
        ("c", False),
    ]


async def test_a_receipt_waits_for_trainings_that_had_begun(
    session: AsyncSession, collection: CollectionRow
) -> None:
    began_before = await add_job(session, collection)
    erasure_id = await erase(session, collection)
    await add_job(session, await another(session, collection))
    assert (await receipt(session, erasure_id)).completed_at is None

    finished_at = await now(session)
    await session.execute(
        update(JobRow)
        .where(JobRow.id == began_before)
        .values(state="cancelled", finished_at=finished_at)
    )
    assert (await receipt(session, erasure_id)).completed_at == finished_at
    # One that begins now reads the subjects after the deletion.
    await add_job(session, collection)
    assert (await receipt(session, erasure_id)).completed_at == finished_at


async def another(session: AsyncSession, like: CollectionRow) -> CollectionRow:
    row = CollectionRow(
        name="another", embedder_name=like.embedder_name, embedder_sha256=like.embedder_sha256
    )
    session.add(row)
    await session.flush()
    return row


async def test_pages_of_all_or_of_open_ones(
    session: AsyncSession, collection: CollectionRow
) -> None:
    elsewhere = await another(session, collection)
    ids = [await erase(session, each) for each in [collection, elsewhere] * 3]
    await repository.add_traces(session, "b", ids[:4])

    async def listed(collection_id: UUID | None, *, only_open: bool, limit: int) -> list[UUID]:
        found: list[UUID] = []
        after = None
        while page := await repository.list_page(
            session, collection_id=collection_id, only_open=only_open, limit=limit, after=after
        ):
            assert len(page) <= limit
            assert all((each.completed_at is None) == (each.row.id in ids[:4]) for each in page)
            found += [each.row.id for each in page]
            after = Position(page[-1].row.erased_at, page[-1].row.id)
        return found

    assert await listed(None, only_open=False, limit=4) == ids
    assert await listed(None, only_open=True, limit=1) == ids[:4]
    assert await listed(collection.id, only_open=False, limit=2) == ids[0::2]
    assert await listed(collection.id, only_open=True, limit=9) == [ids[0], ids[2]]
