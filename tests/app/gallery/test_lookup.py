"""What another replica has made is found here, and no older than was asked for."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from app.collections.repository import delete_as, insert_if_new
from app.database import Database
from app.gallery import repository
from app.gallery.lookup import find_collection_id, find_gallery, find_gallery_of
from app.gallery.repository import StoredCollection, record_change
from app.gallery.service import LOOK_AGAIN_S, Galleries
from app.problems import Behind, CollectionNotFound, SubjectNotFound
from app.tables import CollectionRow, SubjectRow
from models.zoo import EmbedderManifest
from tests.app.gallery.stored import templates, write_subject

SHORT_S = 0.3
"""The patience of who is to be refused; all others have enough for a busy machine."""


@pytest.fixture
async def galleries(galleries: Galleries) -> AsyncIterator[Galleries]:
    """They hold the collection without subjects, and nobody has them follow."""
    galleries.patience_s = 20
    before = asyncio.all_tasks()
    yield galleries
    # A look that a request did not wait for must not be in the midst of a transaction when the next
    # test empties the tables, and with it this thread, waits for its end.
    if left := asyncio.all_tasks() - before - {asyncio.current_task()}:
        await asyncio.wait(left, timeout=5)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the collections were listed."""
    times: list[float] = []
    list_collections = repository.list_collections

    async def listed(session: AsyncSession) -> list[StoredCollection]:
        times.append(monotonic())
        return await list_collections(session)

    monkeypatch.setattr(repository, "list_collections", listed)
    return times


async def delete_subject(database: Database, collection: CollectionRow, subject_id: UUID) -> int:
    async with database.transaction() as session:
        await session.execute(delete(SubjectRow).where(SubjectRow.id == subject_id))
        return await record_change(
            session, collection_id=collection.id, subject_id=subject_id, kind="subject_deleted"
        )


async def test_a_collection_and_a_subject_that_others_have_just_made_are_found(
    database: Database, galleries: Galleries, collection: CollectionRow, embedder: EmbedderManifest
) -> None:
    async with database.transaction() as session:
        row = await insert_if_new(session, name="new", embedder=embedder)
    assert row is not None
    assert (await find_gallery(galleries, "new")).collection_id == row.id
    assert await find_collection_id(galleries, "new") == row.id
    subject_id = await write_subject(database, collection, templates(1))
    assert (await find_gallery_of(galleries, subject_id)).collection_id == collection.id


async def test_who_asks_for_what_is_nowhere_causes_few_looks_however_many_they_are(
    galleries: Galleries, looks: list[float]
) -> None:
    begun = monotonic()
    asked = [find_gallery(galleries, f"none-{number}") for number in range(100)]
    asked += [find_gallery_of(galleries, uuid4()) for _ in range(100)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(each) for each in outcomes} == {CollectionNotFound, SubjectNotFound}
    assert len(looks) <= 4  # a look lists twice: what is here, and what is new
    for number in range(6):
        with pytest.raises(CollectionNotFound):
            await find_gallery(galleries, f"none-{number}")
    assert len(looks) <= 2 * ((monotonic() - begun) / LOOK_AGAIN_S + 2)


async def test_a_revision_that_is_named_is_waited_for(
    database: Database, galleries: Galleries, collection: CollectionRow
) -> None:
    await write_subject(database, collection, templates(1))
    await write_subject(database, collection, templates(1))
    assert (await find_gallery(galleries, "c")).gallery.revision == 0
    assert (await find_gallery(galleries, "c", min_revision=1)).gallery.revision == 2

    # One that nobody has written yet: it may come in time.
    waiting = asyncio.create_task(find_gallery(galleries, "c", min_revision=3))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await write_subject(database, collection, templates(1))
    await galleries.follow_changes()
    assert (await waiting).gallery.revision == 3

    galleries.patience_s = SHORT_S
    begun = monotonic()
    with pytest.raises(Behind) as refused:
        await find_gallery(galleries, "c", min_revision=4)
    assert monotonic() - begun + 0.01 >= SHORT_S
    assert refused.value.headers["Retry-After"] == "1"


async def test_who_names_revisions_that_are_not_there_shares_the_reading(
    database: Database,
    galleries: Galleries,
    collection: CollectionRow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    galleries.patience_s = SHORT_S
    reads = 0
    current_revision = repository.current_revision

    async def read(session: AsyncSession, collection_id: UUID) -> int | None:
        nonlocal reads
        reads += 1
        return await current_revision(session, collection_id)

    monkeypatch.setattr(repository, "current_revision", read)
    asked = [find_gallery(galleries, "c", min_revision=9) for _ in range(50)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(each) for each in outcomes} == {Behind}
    assert reads <= 2


async def test_who_gives_up_leaves_nothing_behind(
    galleries: Galleries, collection: CollectionRow
) -> None:
    galleries.patience_s = SHORT_S
    before = asyncio.all_tasks()
    asked = [find_gallery(galleries, "c", min_revision=2**40) for _ in range(30)]
    await asyncio.gather(*asked, return_exceptions=True)
    async with asyncio.timeout(10):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.05)


async def test_a_subject_that_another_has_deleted_is_gone_for_who_names_the_revision(
    database: Database, galleries: Galleries, collection: CollectionRow
) -> None:
    subject_id = await write_subject(database, collection, templates(1))
    await galleries.catch_up(collection.id)
    revision = await delete_subject(database, collection, subject_id)
    assert subject_id in (await find_gallery_of(galleries, subject_id)).labels
    with pytest.raises(SubjectNotFound):
        await find_gallery_of(galleries, subject_id, min_revision=revision)


async def test_a_collection_that_another_has_made_anew_is_not_taken_for_the_old_one(
    database: Database, galleries: Galleries, collection: CollectionRow, embedder: EmbedderManifest
) -> None:
    for _ in range(3):
        await write_subject(database, collection, templates(1))
    await galleries.catch_up(collection.id)
    async with database.transaction() as session:
        await delete_as(session, collection.id, name="c")
    async with database.transaction() as session:
        renewed = await insert_if_new(session, name="c", embedder=embedder)
    assert renewed is not None
    await write_subject(database, renewed, templates(1))
    revision = renewed.revision + 1
    live = await find_gallery(galleries, "c", min_revision=revision)
    assert (live.collection_id, live.gallery.revision) == (renewed.id, revision)
