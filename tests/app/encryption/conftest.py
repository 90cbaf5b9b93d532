"""A database without a service, and contents of every kind that is sealed."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, make_url, select

from app.database import Database
from app.encryption.contents import (
    ALL_SEALED,
    ANSWER,
    FEEDBACK,
    JOB_ITEM,
    PICTURE,
    SAMPLE,
    SECRET,
    UPLOAD,
    VARIANT,
    SealedColumn,
    answer_owner,
    secret_owner,
)
from app.tables import (
    CollectionRow,
    FeedbackRow,
    IdempotencyRow,
    JobItemRow,
    JobRow,
    NextTemplateRow,
    PictureRow,
    SampleRow,
    SecretRow,
    SubjectRow,
    UploadRow,
    VariantRow,
)
from vault.vault import Vault

CONTENT = bytes(range(64))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    database = Database.connect(url, pool_size=8)
    yield database
    await database.close()


async def store_everything(database: Database, vault: Vault, *, samples: int = 3) -> UUID:
    """Store a content of every kind, and some samples of one subject; give the subject's id."""

    def sealed(purpose: str, owner: UUID) -> bytes:
        return vault.seal(CONTENT, purpose=purpose, owner=owner)

    collection, subject, job = uuid4(), uuid4(), uuid4()
    async with database.transaction() as session:
        session.add(
            CollectionRow(
                id=collection, name=str(collection), embedder_name="e", embedder_sha256=""
            )
        )
        await session.flush()
        session.add(SubjectRow(id=subject, collection_id=collection, metadata_={}))
        session.add(
            JobRow(
                id=job,
                collection_id=collection,
                kind="enrolment",
                state="done",
                progress=1,
                message="",
                options={},
                metrics={},
                cancel_requested=False,
            )
        )
        await session.flush()
        sample_ids = [
            await session.scalar(
                insert(SampleRow)
                .values(
                    subject_id=subject,
                    template=sealed(SAMPLE, subject),
                    picture_sha256=uuid4().bytes,
                    quality_score=1,
                    quality_reasons=[],
                )
                .returning(SampleRow.id)
            )
            for _ in range(samples)
        ]
        first = sample_ids[0]
        assert first is not None
        name, key, idempotency_key = str(uuid4()), str(uuid4()), str(uuid4())
        rows: list[tuple[type[object], dict[str, object]]] = [
            (
                VariantRow,
                {"sample_id": first, "kind": "blur", "template": sealed(VARIANT, first)},
            ),
            (PictureRow, {"sample_id": first, "content": sealed(PICTURE, first)}),
            (
                NextTemplateRow,
                {"sample_id": first, "embedder_sha256": "", "template": sealed(SAMPLE, subject)},
            ),
            (
                NextTemplateRow,
                {
                    "sample_id": first,
                    "embedder_sha256": "",
                    "kind": "blur",
                    "template": sealed(VARIANT, first),
                },
            ),
            (
                JobItemRow,
                {"job_id": job, "position": 0, "failed": False, "report": sealed(JOB_ITEM, job)},
            ),
            (UploadRow, {"job_id": job, "position": 0, "content": sealed(UPLOAD, job)}),
            (
                FeedbackRow,
                {
                    "collection_id": collection,
                    "subject_id": subject,
                    "identification_sha256": b"",
                    "verdict": "rejected",
                    "template": sealed(FEEDBACK, subject),
                },
            ),
            (
                IdempotencyRow,
                {
                    "key_id": key,
                    "idempotency_key": idempotency_key,
                    "request_sha256": b"",
                    "leased_until": datetime.now(UTC),
                    "written": True,
                    "status": 201,
                    "answer": sealed(ANSWER, answer_owner(key, idempotency_key)),
                },
            ),
            (SecretRow, {"name": name, "value": sealed(SECRET, secret_owner(name))}),
        ]
        for table, values in rows:
            await session.execute(insert(table).values(values))
    return subject


async def contents_of(database: Database, column: SealedColumn, vault: Vault) -> list[bytes]:
    """Open all contents of a column."""
    async with database.snapshot() as session:
        rows = (await session.execute(select(column.content, *column.bound_by))).all()
    opened = []
    for content, *bound_by in rows:
        purpose, owner = column.binding(*bound_by)
        opened.append(vault.open(content, purpose=purpose, owner=owner))
    return opened


async def all_contents(database: Database, vault: Vault) -> list[bytes]:
    """Open all that is sealed."""
    return [
        content for column in ALL_SEALED for content in await contents_of(database, column, vault)
    ]


async def data_keys_in_use(database: Database) -> set[int | None]:
    """Ids of the data keys that contents are sealed with; None: something is not sealed."""
    async with database.snapshot() as session:
        return {
            key_id
            for column in ALL_SEALED
            for key_id in await session.scalars(select(column.data_key_id).distinct())
        }
