import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import Engine, create_engine, insert, make_url, update
from sqlalchemy.orm import Session

from app.tables import CollectionRow, FeedbackRow, SampleRow, SubjectRow, VariantRow
from benchmarks.vaults import made_vault
from models.arrays import Floats
from tests.training.small_stores import EMBEDDER, batch_of, unit_rows
from training.embedding import collection as collection_module
from training.embedding.collection import GalleryUnusable
from training.embedding.gallery import GALLERY, GalleryUnreachable, gallery_to_store
from training.embedding.negatives import NEGATIVES, Negatives
from training.stores.format import EmbedderIdentity, Kind, StoreInvalid
from training.stores.store import EmbeddingStore
from training.stores.writer import StoreWriter
from vault.vault import KEY_BYTES, Vault

pytestmark = pytest.mark.slow  # it starts a server of its own

SUBJECTS, SAMPLES, VARIANTS, DIMENSION = 4, 2, 2, 8
REVISION = 41
MASTER_KEY = bytes(range(KEY_BYTES))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    yield engine
    engine.dispose()


def vault_of(engine: Engine) -> Vault:
    url = engine.url.set(drivername="postgresql")
    return made_vault(url.render_as_string(hide_password=False), MASTER_KEY)


@dataclass
class Sample:
    subject: UUID
    template: Floats
    variants: list[Floats]
    quality: float


def enrol(engine: Engine, name: str, *, seed: int = 0) -> dict[UUID, Sample]:
    """Make a collection, its samples by their ids; one further subject has none."""
    rng = np.random.default_rng(seed)
    vault = vault_of(engine)
    samples = {}
    with Session(engine) as session, session.begin():
        collection = CollectionRow(
            name=name,
            embedder_name=EMBEDDER.name,
            embedder_sha256=EMBEDDER.sha256,
            revision=REVISION,
        )
        session.add(collection)
        session.flush()
        for number in range(SUBJECTS + 1):
            subject = SubjectRow(collection_id=collection.id, metadata_={})
            session.add(subject)
            session.flush()
            for picture in range(SAMPLES if number < SUBJECTS else 0):
                template, *variants = unit_rows(rng, 1 + VARIANTS, DIMENSION)
                quality = float(rng.uniform())
                row = SampleRow(
                    subject_id=subject.id,
                    template=vault.seal(template.tobytes(), purpose="sample", owner=subject.id),
                    picture_sha256=bytes([picture] * 32),
                    quality_score=quality,
                    quality_reasons=[],
                )
                session.add(row)
                session.flush()
                for variant in variants:
                    sealed = vault.seal(variant.tobytes(), purpose="variant", owner=row.id)
                    values = {"sample_id": row.id, "kind": "blur", "template": sealed}
                    session.execute(insert(VariantRow).values(values))
                samples[row.id] = Sample(subject.id, template, variants, quality)
    return samples


def contents(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("batch_rows", [5, 10_000])
def test_a_store_has_every_sample_and_its_variants(
    engine: Engine,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch_rows: int,
) -> None:
    monkeypatch.setattr(collection_module, "BATCH_ROWS", batch_rows)
    enrol(engine, "others", seed=1)
    samples = enrol(engine, "staff")
    folder = tmp_path / "run" / "store"
    assert gallery_to_store(database_url, MASTER_KEY, "staff", folder, EMBEDDER) == REVISION
    store = EmbeddingStore.open(folder, embedder=EMBEDDER)
    assert not store.manifest.synthetic
    # The slow twin: one sample after the other, in the order of subjects and samples.
    row = 0
    in_order = sorted(samples.items(), key=lambda item: (item[1].subject, item[0]))
    for number, (_, sample) in enumerate(in_order):
        for place, template in enumerate([sample.template, *sample.variants]):
            assert store.subject_ids[store.labels[row]] == str(sample.subject)
            assert store.kinds[row] == (Kind.DEGRADED if place else Kind.ORIGINAL)
            assert store.sources[row] == number
            assert store.quality[row] == pytest.approx(sample.quality)
            np.testing.assert_array_equal(store.vectors[row], template.astype(np.float16))
            row += 1
    assert row == len(store)
    assert len(store.subject_ids) == SUBJECTS
    beside = json.loads((tmp_path / "run" / GALLERY).read_text())
    assert beside["watermark"] == REVISION
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [GALLERY, "store"]


def judge(engine: Engine, subject: UUID, template: Floats, verdict: str, number: int) -> None:
    with Session(engine) as session, session.begin():
        collection_id = session.get_one(SubjectRow, subject).collection_id
        session.add(
            FeedbackRow(
                collection_id=collection_id,
                subject_id=subject,
                identification_sha256=bytes([number] * 32),
                verdict=verdict,
                template=vault_of(engine).seal(
                    template.tobytes(), purpose="feedback", owner=subject
                ),
            )
        )


def test_feedback_becomes_training_rows_and_hard_negatives(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    samples = enrol(engine, "staff")
    gallery_to_store(database_url, MASTER_KEY, "staff", tmp_path / "before" / "store", EMBEDDER)
    assert not (tmp_path / "before" / NEGATIVES).exists()
    first, *_, last = sorted(samples.values(), key=lambda sample: sample.subject)
    seen, again, other = unit_rows(np.random.default_rng(9), 3, DIMENSION)
    judge(engine, first.subject, seen, "confirmed", 1)
    # One that is enrolled is no further row. As it comes out of an identification's id.
    rounded = last.template.astype(np.float16).astype(np.float32)
    judge(engine, last.subject, rounded / np.linalg.norm(rounded), "confirmed", 3)
    judge(engine, last.subject, again, "rejected", 4)
    judge(engine, first.subject, other, "rejected", 6)
    with Session(engine) as session:
        (without,) = (
            row.id
            for row in session.query(SubjectRow)
            if row.id not in {sample.subject for sample in samples.values()}
        )
    judge(engine, without, seen, "confirmed", 7)
    judge(engine, without, seen, "rejected", 8)
    gallery_to_store(database_url, MASTER_KEY, "staff", tmp_path / "after" / "store", EMBEDDER)
    before = EmbeddingStore.open(tmp_path / "before" / "store")
    after = EmbeddingStore.open(tmp_path / "after" / "store")
    assert after.subject_ids == before.subject_ids
    assert len(after) == len(before) + 1
    (row,) = np.flatnonzero((after.vectors == seen.astype(np.float16)).all(axis=1))
    assert after.subject_ids[after.labels[row]] == str(first.subject)
    assert after.kinds[row] == Kind.DEGRADED
    assert (after.sources == after.sources[row]).sum() == 1
    np.testing.assert_array_equal(np.delete(after.vectors, row, axis=0), before.vectors)
    negatives = Negatives.read(tmp_path / "after" / NEGATIVES, DIMENSION)
    wanted = sorted([(str(last.subject), again.tolist()), (str(first.subject), other.tolist())])
    found = zip(negatives.subject_ids.tolist(), negatives.templates.tolist(), strict=True)
    assert list(found) == wanted


def test_a_damaged_template_of_feedback_is_refused(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    samples = enrol(engine, "staff")
    subject = next(iter(samples.values())).subject
    judge(engine, subject, np.ones(3, np.float32), "rejected", 1)
    with pytest.raises(GalleryUnusable, match="has 12 bytes, others 32"):
        gallery_to_store(database_url, MASTER_KEY, "staff", tmp_path / "store", EMBEDDER)


def test_a_collection_is_found_by_its_id(engine: Engine, database_url: str, tmp_path: Path) -> None:
    enrol(engine, "staff")
    with Session(engine) as session:
        (collection,) = session.query(CollectionRow).all()
    gallery_to_store(database_url, MASTER_KEY, "staff", tmp_path / "by name", EMBEDDER)
    for _ in range(2):
        found = gallery_to_store(
            database_url, MASTER_KEY, collection.id, tmp_path / "by id", EMBEDDER
        )
        assert found == REVISION
    assert contents(tmp_path / "by id") == contents(tmp_path / "by name")
    with pytest.raises(GalleryUnusable, match=f"no collection '{UUID(int=0)}'; there are: 'staff'"):
        gallery_to_store(database_url, MASTER_KEY, UUID(int=0), tmp_path / "store", EMBEDDER)


def test_addresses_of_the_service_are_understood(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    enrol(engine, "staff")
    plain = make_url(database_url).set(drivername="postgresql")
    for number, driver in enumerate(["postgresql", "postgresql+psycopg", "postgres"]):
        address = plain.set(drivername=driver).render_as_string(hide_password=False)
        gallery_to_store(address, MASTER_KEY, "staff", tmp_path / f"store-{number}", EMBEDDER)
    assert contents(tmp_path / "store-0") == contents(tmp_path / "store-1")


def test_what_an_earlier_call_left_is_begun_again(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    enrol(engine, "staff")
    gallery_to_store(database_url, MASTER_KEY, "staff", tmp_path / "whole", EMBEDDER)
    with Session(engine) as session:
        (collection,) = session.query(CollectionRow).all()
    left = StoreWriter(
        tmp_path / "store",
        embedder=EMBEDDER,
        dimension=DIMENSION,
        synthetic=False,
        plan=f"collection {collection.id}",
    )
    left.append(batch_of(["gone", "since"]))
    gallery_to_store(database_url, MASTER_KEY, "staff", tmp_path / "store", EMBEDDER)
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")


def test_what_was_begun_from_pictures_is_not_touched(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    enrol(engine, "staff")
    pictures = StoreWriter(
        tmp_path / "store",
        embedder=EMBEDDER,
        dimension=DIMENSION,
        synthetic=False,
        plan="pictures",
    )
    pictures.append(batch_of(["a", "b"]))
    with pytest.raises(StoreInvalid, match="other inputs or settings"):
        gallery_to_store(database_url, MASTER_KEY, "staff", tmp_path / "store", EMBEDDER)


def test_a_store_that_is_there_is_kept_with_its_watermark(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    enrol(engine, "staff")
    folder = tmp_path / "store"
    gallery_to_store(database_url, MASTER_KEY, "staff", folder, EMBEDDER)
    with Session(engine) as session, session.begin():
        session.execute(update(CollectionRow).values(revision=REVISION + 1))
    # What a kill after the last rename leaves is cleared away.
    (tmp_path / "store.unfinished" / "shards").mkdir(parents=True)
    assert gallery_to_store(database_url, MASTER_KEY, "staff", folder, EMBEDDER) == REVISION
    assert not (tmp_path / "store.unfinished").exists()
    with pytest.raises(FileExistsError, match="made from something else"):
        gallery_to_store(database_url, MASTER_KEY, "others", folder, EMBEDDER)
    with pytest.raises(StoreInvalid, match="the vectors are of linear-7"):
        gallery_to_store(
            database_url, MASTER_KEY, "staff", folder, EmbedderIdentity("other", "cd" * 32)
        )
    (tmp_path / GALLERY).unlink()
    with pytest.raises(FileExistsError, match="made from something else"):
        gallery_to_store(database_url, MASTER_KEY, "staff", folder, EMBEDDER)


def test_what_cannot_be_trained_on_is_refused(
    engine: Engine, database_url: str, tmp_path: Path
) -> None:
    def refused(name: str, what: str, embedder: EmbedderIdentity = EMBEDDER) -> None:
        with pytest.raises(GalleryUnusable, match=what):
            gallery_to_store(database_url, MASTER_KEY, name, tmp_path / "store", embedder)
        assert not (tmp_path / "store").exists()

    refused("staff", "no collection 'staff'; there are: none at all")
    enrol(engine, "staff")
    samples = enrol(engine, "guests", seed=1)
    refused("members", "no collection 'members'; there are: 'guests', 'staff'")
    refused("staff", "of linear-7 .*, not of other", EmbedderIdentity("other", "cd" * 32))
    with Session(engine) as session, session.begin():
        damaged = session.get_one(SampleRow, max(samples))
        owner = damaged.subject_id
        damaged.template = vault_of(engine).seal(bytes(36), purpose="sample", owner=owner)
    refused("guests", f"template of sample {max(samples)} has 36 bytes, others 32")
    with Session(engine) as session, session.begin():
        damaged = session.get_one(SampleRow, max(samples))
        damaged.template = vault_of(engine).seal(bytes(32), purpose="sample", owner=UUID(int=0))
    refused("guests", f"template of sample {max(samples)} can't be opened: .*; delete that sample")
    with Session(engine) as session, session.begin():
        only = samples[max(samples)].subject
        session.query(SampleRow).where(SampleRow.subject_id != only).delete()
    refused("guests", "'guests' has 1 subject with samples where at least 2")
    refused("staff", "'staff' has 0 subjects with samples")


def test_a_database_that_cannot_be_read_is_one_sentence(database_url: str, tmp_path: Path) -> None:
    nowhere = f"postgresql://nobody@localhost/nothing?host={tmp_path}&connect_timeout=2"
    with pytest.raises(GalleryUnreachable, match=r"^the gallery's database can't be read: .+$"):
        gallery_to_store(nowhere, MASTER_KEY, "staff", tmp_path / "store", EMBEDDER)
    # A database without the service's tables.
    empty = make_url(database_url).set(database="template1").render_as_string(hide_password=False)
    with pytest.raises(GalleryUnreachable, match=r'relation "collections" does not exist$'):
        gallery_to_store(empty, MASTER_KEY, "staff", tmp_path / "store", EMBEDDER)
    with pytest.raises(GalleryUnusable, match="must begin with postgresql://"):
        gallery_to_store("sqlite://secret@x", MASTER_KEY, "staff", tmp_path / "store", EMBEDDER)
