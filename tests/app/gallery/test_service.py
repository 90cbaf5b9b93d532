"""Another process writes: `catch_up` must make the gallery that loading afresh would."""

from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import Executable, delete, insert, update

from app.collections.repository import insert_if_new
from app.database import Database
from app.gallery.live import LiveGallery
from app.gallery.lookup import find_gallery, find_gallery_of
from app.gallery.repository import Label, load_subjects, record_change
from app.gallery.service import Galleries
from app.problems import Behind, CollectionNotFound, EmbedderMismatch, SubjectNotFound
from app.subjects.repository import to_bytes
from app.tables import BundleRow, CollectionRow, FeedbackRow, SampleRow, SubjectRow
from models.arrays import Floats
from models.bundle_format import BundleInvalid
from models.fusion import UNTRAINED
from models.gallery import Gallery
from models.trained import Trained
from models.zoo import EmbedderId, EmbedderManifest
from tests.app.gallery.stored import (
    VAULT,
    assert_same,
    galleries_on,
    templates,
    write_sample,
    write_subject,
)
from training.publish import BundleContents, Subnet, publish
from training.stores.format import EmbedderIdentity
from training.subnets.export import export_subnet


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

    afresh = galleries_on(database, embedder)
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
    monkeypatch.setattr("app.gallery.repository.SUBJECTS_AT_ONCE", 3)
    ids = [await write_subject(database, collection, templates(3)) for _ in range(7)]
    galleries = galleries_on(database, embedder)
    await galleries.refresh()
    live = galleries.find("c")
    assert len(live.gallery) == 7
    assert all(live.gallery.templates_of(each).shape == (3, 192) for each in ids)


async def break_subject(database: Database, collection: CollectionRow) -> None:
    """Store templates of two lengths, of which no gallery can be made."""
    subject_id = await write_subject(database, collection, templates(1))
    async with database.transaction() as session:
        await write_sample(session, subject_id, templates(1, dimension=3)[0])
        await record_change(
            session, collection_id=collection.id, subject_id=subject_id, kind="samples_added"
        )


async def test_a_collection_that_fails_keeps_no_other_from_being_followed_and_loaded(
    database: Database, galleries: Galleries, collection: CollectionRow, embedder: EmbedderManifest
) -> None:
    async with database.transaction() as session:
        other = await insert_if_new(session, name="d", embedder=embedder)
    assert other is not None
    galleries.add(other)
    await break_subject(database, collection)
    await write_subject(database, other, templates(1))
    with pytest.raises(ValueError, match="shape"):
        await galleries.follow_changes()
    assert galleries.find("d").gallery.revision == 1
    assert galleries.find("c").gallery.revision == 0

    afresh = galleries_on(database, embedder)
    with pytest.raises(ValueError, match="shape"):
        await afresh.refresh()
    assert len(afresh.find("d").gallery) == 1
    with pytest.raises(Behind):  # it is there, so nobody is told that there is none
        await find_gallery(afresh, "c")
    for replica in (afresh, galleries):  # nor of another one's trouble
        with pytest.raises(CollectionNotFound):
            await find_gallery(replica, "none")
        with pytest.raises(SubjectNotFound):
            await find_gallery_of(replica, uuid4())


async def test_a_replica_that_is_more_subjects_behind_than_a_statement_has_parameters_follows(
    database: Database, collection: CollectionRow
) -> None:
    subject_id = await write_subject(database, collection, templates(2))
    await write_subject(database, collection, templates(1))
    async with database.snapshot() as session:
        stored = await load_subjects(
            session,
            collection.id,
            VAULT,
            dimension=192,
            only={subject_id, *(uuid4() for _ in range(65_536))},
        )
    assert (list(stored.labels), len(stored.templates)) == ([subject_id], 2)


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
    galleries = galleries_on(database, embedder)
    await galleries.refresh()
    assert galleries.find("c").gallery.templates_of(subject_id).shape == (2, 512)
    with pytest.raises(EmbedderMismatch):
        galleries.find_usable("c")
    with pytest.raises(EmbedderMismatch):
        galleries.find_by_subject(subject_id)


async def bundle_of(
    database: Database, live: LiveGallery, embedder: EmbedderManifest, folder: Path
) -> Trained:
    """Publish a bundle of one subnet that knows the collection as it is now, and store its row."""
    ids = list(live.labels)
    means = np.stack([live.gallery.templates_of(each).mean(axis=0) for each in ids])
    net = folder / f"net-{live.gallery.revision}.onnx"
    net.write_bytes(export_subnet(means))
    contents = BundleContents(
        embedder=EmbedderIdentity(embedder.name, embedder.sha256),
        subject_ids=[str(each) for each in ids],
        class_means=means / np.linalg.norm(means, axis=1, keepdims=True),
        imprinted=np.zeros(len(ids), np.bool_),
        subnets=[Subnet(net, np.arange(len(ids), dtype=np.int32))],
        calibration={"fusion": UNTRAINED.to_json()},
        evaluation={},
        seed=0,
        synthetic=False,
        watermark=live.gallery.revision,
        collection=str(live.collection_id),
    )
    place = folder / f"bundle-{live.gallery.revision}"
    publish(contents, place)
    trained = Trained.open(place, embedder=embedder, memory_limit_bytes=2**20)
    async with database.transaction() as session:
        await session.execute(
            insert(BundleRow).values(
                id=trained.id,
                collection_id=live.collection_id,
                watermark=trained.watermark,
                classes=len(ids),
                subnets=1,
                metrics={},
                active=False,
            )
        )
    return trained


async def make_active(database: Database, bundle_id: str | None) -> None:
    async with database.transaction() as session:
        await session.execute(update(BundleRow).values(active=False))
        if bundle_id is not None:
            statement = update(BundleRow).where(BundleRow.id == bundle_id)
            await session.execute(statement.values(active=True))


def sources(gallery: Gallery, probes: Floats) -> list[str]:
    found = gallery.search(probes, np.ones(len(probes), np.float32), 1)
    return [each.candidates[0].source for each in found]


async def test_a_bundle_is_taken_up_with_all_that_came_after_its_training(
    database: Database,
    galleries: Galleries,
    collection: CollectionRow,
    embedder: EmbedderManifest,
    tmp_path: Path,
) -> None:
    rows = templates(5)
    ids = [await write_subject(database, collection, row[None]) for row in rows]
    await galleries.catch_up(collection.id)
    trained = await bundle_of(database, galleries.find("c"), embedder, tmp_path)
    async with database.transaction() as session:  # after the watermark
        await session.execute(delete(SubjectRow).where(SubjectRow.id == ids[0]))
        await record_change(
            session, collection_id=collection.id, subject_id=ids[0], kind="subject_deleted"
        )
    async with database.transaction() as session:
        await write_sample(session, ids[1], rows[1])
        await record_change(
            session, collection_id=collection.id, subject_id=ids[1], kind="samples_added"
        )
    async with database.transaction() as session:
        await record_change(
            session, collection_id=collection.id, subject_id=ids[2], kind="subject_updated"
        )
    newcomer = templates(1)
    await write_subject(database, collection, newcomer)

    await galleries.activate(collection.id, trained)
    assert galleries.find("c").bundle_id is None  # nobody has committed it
    await make_active(database, trained.id)
    await galleries.activate(collection.id, trained)
    live = galleries.find("c")
    assert live.bundle_id == trained.id
    assert live.gallery.revision == 9
    probes = np.concatenate([rows[1:], newcomer])
    assert sources(live.gallery, probes) == ["live", "bundle", "bundle", "bundle", "live"]
    with pytest.raises(KeyError):
        live.gallery.templates_of(ids[0])

    afresh = galleries_on(database, embedder, lambda *_: trained)
    await afresh.refresh()
    assert_same(live, afresh.find("c"))
    assert afresh.find("c").bundle_id == trained.id

    # A new name is no reason to search a trained subject as a live one.
    async with database.transaction() as session:
        await record_change(
            session, collection_id=collection.id, subject_id=ids[3], kind="subject_updated"
        )
    await galleries.catch_up(collection.id)
    assert sources(galleries.find("c").gallery, probes)[2] == "bundle"


async def test_another_process_activates_and_deactivates(
    database: Database,
    galleries: Galleries,
    collection: CollectionRow,
    embedder: EmbedderManifest,
    tmp_path: Path,
) -> None:
    for row in templates(3):
        await write_subject(database, collection, row[None])
    await galleries.catch_up(collection.id)
    trained = await bundle_of(database, galleries.find("c"), embedder, tmp_path)
    other = galleries_on(database, embedder, lambda *_: trained)
    await other.refresh()
    assert other.find("c").bundle_id is None
    await make_active(database, trained.id)
    await other.follow_activations()
    assert other.find("c").bundle_id == trained.id
    await make_active(database, None)
    await other.follow_activations()
    assert other.find("c").bundle_id is None
    assert len(other.find("c").gallery) == 3


async def test_a_damaged_bundle_leaves_the_service_without_one(
    database: Database,
    galleries: Galleries,
    collection: CollectionRow,
    embedder: EmbedderManifest,
    tmp_path: Path,
) -> None:
    [row] = templates(1)
    await write_subject(database, collection, row[None])
    await galleries.catch_up(collection.id)
    trained = await bundle_of(database, galleries.find("c"), embedder, tmp_path)
    await make_active(database, trained.id)
    opened = 0

    def damaged(bundle_id: str, _embedder: EmbedderId) -> Trained:
        nonlocal opened
        opened += 1
        raise BundleInvalid(f"{bundle_id}: was changed")

    afresh = galleries_on(database, embedder, damaged)
    await afresh.refresh()
    for _ in range(3):
        await afresh.follow_activations()
    assert afresh.find("c").bundle_id is None
    assert sources(afresh.find("c").gallery, row[None]) == ["live"]
    assert opened == 1


async def test_a_bundle_whose_files_come_and_go_is_taken_up_when_they_are_there(
    database: Database,
    galleries: Galleries,
    collection: CollectionRow,
    embedder: EmbedderManifest,
    tmp_path: Path,
) -> None:
    for row in templates(3):
        await write_subject(database, collection, row[None])
    await galleries.catch_up(collection.id)
    trained = await bundle_of(database, galleries.find("c"), embedder, tmp_path)
    await make_active(database, trained.id)
    answers: list[Trained | OSError] = [OSError("a disk that can't be read"), trained]

    def open_bundle(_bundle_id: str, _embedder: EmbedderId) -> Trained:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    afresh = galleries_on(database, embedder, open_bundle)
    await afresh.refresh()
    assert afresh.find("c").bundle_id is None
    await afresh.follow_activations()
    assert afresh.find("c").bundle_id == trained.id


async def test_a_bundle_that_fails_at_the_first_search_leaves_the_service_without_one(
    database: Database,
    galleries: Galleries,
    collection: CollectionRow,
    embedder: EmbedderManifest,
    tmp_path: Path,
) -> None:
    for row in templates(4):
        await write_subject(database, collection, row[None])
    await galleries.catch_up(collection.id)
    trained = await bundle_of(database, galleries.find("c"), embedder, tmp_path)
    await make_active(database, trained.id)
    for net in trained.bundle.folder.glob("subnets/*"):
        net.unlink()
    afresh = galleries_on(database, embedder, lambda *_: trained)
    await afresh.refresh()
    assert afresh.find("c").bundle_id is None
    assert len(afresh.find("c").gallery) == 4


async def test_rejections_reach_the_gallery(
    database: Database, galleries: Galleries, collection: CollectionRow, embedder: EmbedderManifest
) -> None:
    rows = templates(2)
    subject_id = await write_subject(database, collection, rows)
    async with database.transaction() as session:
        await session.execute(
            insert(FeedbackRow).values(
                collection_id=collection.id,
                subject_id=subject_id,
                identification_sha256=b"1",
                verdict="rejected",
                template=VAULT.seal(to_bytes(rows[0]), purpose="feedback", owner=subject_id),
            )
        )
        await record_change(
            session, collection_id=collection.id, subject_id=subject_id, kind="feedback_given"
        )
    await galleries.catch_up(collection.id)
    afresh = galleries_on(database, embedder)
    await afresh.refresh()
    for each in (galleries, afresh):
        found = each.find("c").gallery.search(rows, np.ones(2, np.float32), 1)
        assert [search.candidates[0].rejected for search in found] == [True, False]


async def test_thresholds_are_taken_anew_once_the_gallery_has_changed_noticeably(
    database: Database, galleries: Galleries, collection: CollectionRow
) -> None:
    for row in templates(4):
        await write_subject(database, collection, row[None])
    await galleries.catch_up(collection.id)
    before = galleries.find("c")
    assert not before.is_calibrated
    await galleries.recalibrate()
    after = galleries.find("c")
    assert after.is_calibrated
    assert after.gallery is before.gallery
    await galleries.recalibrate()
    assert galleries.find("c") is after
