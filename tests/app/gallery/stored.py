"""Write to the tables as another process does, and compare galleries."""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import Database
from app.embedders.known import KnownEmbedder
from app.gallery.live import LiveGallery
from app.gallery.repository import record_change
from app.gallery.service import Galleries
from app.subjects.repository import to_bytes
from app.tables import CollectionRow, SampleRow, SubjectRow
from models.arrays import Floats
from models.bundle_format import BundleInvalid
from models.calibration import Calibration
from models.trained import Trained
from models.zoo import EmbedderId, EmbedderManifest
from vault.vault import KEY_BYTES, Vault

RNG = np.random.default_rng(5)
VAULT = Vault({1: bytes(KEY_BYTES)})


def galleries_on(
    database: Database,
    embedder: EmbedderManifest,
    open_bundle: Callable[[str, EmbedderId], Trained] | None = None,
) -> Galleries:
    def none(bundle_id: str, _embedder: EmbedderId) -> Trained:
        raise BundleInvalid(f"{bundle_id}: there is none")

    return Galleries(
        database, [KnownEmbedder(embedder, Calibration.of(embedder))], open_bundle or none, VAULT
    )


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
            template=VAULT.seal(to_bytes(template), purpose="sample", owner=subject_id),
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
    probes, quality = templates(5), np.ones(5, np.float32)
    for mine, theirs in zip(
        one.gallery.search(probes, quality, 9),
        other.gallery.search(probes, quality, 9),
        strict=True,
    ):
        assert mine.routing == theirs.routing
        assert [replace(each, score=0) for each in mine.candidates] == [
            replace(each, score=0) for each in theirs.candidates
        ]
        # The same products in matrices of other sizes are summed up in another order.
        scores = [each.score for each in mine.candidates]
        assert scores == pytest.approx([each.score for each in theirs.candidates], abs=1e-6)
