"""Another process writes: `catch_up` must make the gallery that loading afresh would."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import Executable, delete, insert, make_url, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.collections.repository import insert_if_new
from app.database import Database
from app.gallery.repository import Label, record_change
from app.gallery.service import Galleries, LiveGallery
from app.problems import CollectionNotFound, EmbedderMismatch, SubjectNotFound
from app.subjects.repository import to_bytes
from app.tables import CollectionRow, SampleRow, SubjectRow
from models.arrays import Floats
from models.identifier import QueryPath
from models.zoo import EmbedderManifest

RNG = np.random.default_rng(5)


@pytest.fixture
def embedder(query_path: QueryPath) -> EmbedderManifest:
    return query_path.embedder.manifest


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    database = Database.connect(url, pool_size=2)
    yield database
    await database.close()


@pytest.fixture
async def collection(database: Database, embedder: EmbedderManifest) -> CollectionRow:
    async with database.transaction() as session:
        row = await insert_if_new(session, name="c", embedder=embedder)
    assert row is not None
    return row


@pytest.fixture
async def galleries(
    database: Database, embedder: EmbedderManifest, collection: CollectionRow
) -> Galleries:
    galleries = Galleries(database, embedder)
    await galleries.refresh()
    return galleries


def templates(count: int, dimension: int = 192) -> Floats:
    rows = RNG.normal(size=(count, dimension)).astype(np.float32)
    unit: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


async def write_subject(database: Database, collection: CollectionRow, rows: Floats) -> UUID:
    async with database.transaction() as session:
        subject_id = uuid4()
        await session.execute(
            insert(SubjectRow).values(
                id=subject_id, collection_id=collection.id, name="n", metadata_={}
            )
        )
        for row in rows:
            await write_sample(session, subject_id, row)
        await record_change(
            session,
            collection_id=collection.id,
            subject_id=subject_id,
            kind="subject_enrolled",
        )
    return subject_id


async def write_sample(session: AsyncSession, subject_id: UUID, template: Floats) -> None:
    await session.execute(
        insert(SampleRow).values(
            subject_id=subject_id,
            template=to_bytes(template),
            picture_sha256=uuid4().bytes,
            quality_score=1,
            quality_reasons=[],
        )
    )


def assert_same(one: LiveGallery, other: LiveGallery) -> None:
    assert one.gallery.revision == other.gallery.revision
    assert len(one.gallery) == len(other.gallery)
    assert one.labels == other.labels
    for subject_id in one.labels:
        try:
            expected = other.gallery.templates_of(subject_id)
        except KeyError:
            with pytest.raises(KeyError):
                one.gallery.templates_of(subject_id)
        else:
            np.testing.assert_array_equal(one.gallery.templates_of(subject_id), expected)
    probes = templates(5)
    assert one.gallery.search(probes, 9) == other.gallery.search(probes, 9)


async def test_catching_up_gives_what_loading_afresh_gives(
    database: Database, galleries: Galleries, collection: CollectionRow, embedder: EmbedderManifest
) -> None:
    ids = [await write_subject(database, collection, templates(n)) for n in (1, 3, 2, 0, 1)]
    await galleries.catch_up(collection.id, revision=5)

    async def change(subject_id: UUID, statement: Executable) -> None:
        async with database.transaction() as session:
            await session.execute(statement)
            await record_change(
                session,
                collection_id=collection.id,
                subject_id=subject_id,
                kind="subject_updated",
            )

    await change(ids[0], delete(SubjectRow).where(SubjectRow.id == ids[0]))
    await change(
        ids[1], update(SubjectRow).where(SubjectRow.id == ids[1]).values(name="m", external_id="e")
    )
    await change(ids[2], delete(SampleRow).where(SampleRow.subject_id == ids[2]))
    async with database.transaction() as session:
        await write_sample(session, ids[4], templates(1)[0])
        await record_change(
            session, collection_id=collection.id, subject_id=ids[4], kind="samples_added"
        )
    before = galleries.find("c")
    await galleries.catch_up(collection.id, revision=9)

    afresh = Galleries(database, embedder)
    await afresh.refresh()
    assert_same(galleries.find("c"), afresh.find("c"))
    assert galleries.find("c").labels[ids[1]] == Label("e", "m")
    assert len(galleries.find("c").gallery) == 2
    # Whoever took the gallery before goes on with what it was.
    assert (before.gallery.revision, len(before.gallery)) == (5, 4)


async def test_nothing_is_read_when_the_revision_is_there(
    database: Database, galleries: Galleries, collection: CollectionRow
) -> None:
    await write_subject(database, collection, templates(1))
    before = galleries.find("c")
    await galleries.catch_up(collection.id, revision=0)
    assert galleries.find("c") is before
    await galleries.catch_up(collection.id, revision=1)
    assert galleries.find("c").gallery.revision == 1


async def test_a_collection_that_is_gone_is_no_error(
    database: Database, galleries: Galleries, collection: CollectionRow
) -> None:
    await galleries.catch_up(uuid4(), revision=1)
    async with database.transaction() as session:
        await session.execute(delete(CollectionRow))
    await galleries.catch_up(collection.id, revision=1)
    galleries.drop(collection.id)
    with pytest.raises(CollectionNotFound):
        galleries.find("c")
    galleries.drop(collection.id)


async def test_large_collections_are_loaded_in_portions(
    database: Database,
    embedder: EmbedderManifest,
    collection: CollectionRow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.gallery.repository.ROWS_AT_ONCE", 4)
    ids = [await write_subject(database, collection, templates(3)) for _ in range(7)]
    galleries = Galleries(database, embedder)
    await galleries.refresh()
    live = galleries.find("c")
    assert len(live.gallery) == 7
    assert all(live.gallery.templates_of(each).shape == (3, 192) for each in ids)


async def test_subjects_are_found_in_their_collection(
    database: Database, galleries: Galleries, collection: CollectionRow
) -> None:
    subject_id = await write_subject(database, collection, templates(1))
    with pytest.raises(SubjectNotFound):
        galleries.find_by_subject(subject_id)
    await galleries.catch_up(collection.id, revision=1)
    assert galleries.find_by_subject(subject_id).collection_id == collection.id


async def test_templates_of_another_embedder_are_loaded_but_never_used(
    database: Database, collection: CollectionRow, embedder: EmbedderManifest
) -> None:
    async with database.transaction() as session:
        await session.execute(
            update(CollectionRow).values(embedder_name="other", embedder_sha256="0")
        )
    subject_id = await write_subject(database, collection, templates(2, dimension=512))
    galleries = Galleries(database, embedder)
    await galleries.refresh()
    assert galleries.find("c").gallery.templates_of(subject_id).shape == (2, 512)
    with pytest.raises(EmbedderMismatch):
        galleries.find_usable("c")
    with pytest.raises(EmbedderMismatch):
        galleries.find_by_subject(subject_id)
