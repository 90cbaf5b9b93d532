"""SQL of subjects, samples and variants."""

import re
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.encryption.contents import SAMPLE, VARIANT
from app.gallery.repository import TEMPLATE_DTYPE
from app.paging import Position
from app.subjects.pictures import PreparedFace
from app.tables import CollectionRow, PictureRow, SampleRow, SubjectRow, VariantRow
from models.arrays import Floats
from vault.vault import Vault


class StoredSubject(NamedTuple):
    """A subject, its collection's name, and how many samples it has."""

    row: SubjectRow
    collection: str
    sample_count: int


class StoredSample(NamedTuple):
    """A sample without its template."""

    sample_id: UUID
    quality_score: float
    quality_reasons: list[str]
    created_at: datetime
    picture_kept: bool


def _subjects() -> Select[SubjectRow, str, int]:
    sample_count = (
        select(func.count())
        .select_from(SampleRow)
        .where(SampleRow.subject_id == SubjectRow.id)
        .scalar_subquery()
    )
    return select(SubjectRow, CollectionRow.name, sample_count).join(
        CollectionRow, CollectionRow.id == SubjectRow.collection_id
    )


async def find_subject(session: AsyncSession, subject_id: UUID) -> StoredSubject | None:
    """Find a subject by its id."""
    # Rows that this session holds may be older than what it has since written.
    statement = _subjects().where(SubjectRow.id == subject_id)
    row = (await session.execute(statement, execution_options={"populate_existing": True})).first()
    return None if row is None else StoredSubject(*row)


async def list_subjects(
    session: AsyncSession,
    *,
    collection_id: UUID,
    limit: int,
    after: Position | None,
    external_id: str | None,
    name_prefix: str | None,
) -> list[StoredSubject]:
    """List subjects of a collection in the order of their enrolment."""
    place = tuple_(SubjectRow.created_at, SubjectRow.id)
    statement = _subjects().where(SubjectRow.collection_id == collection_id)
    if after is not None:
        statement = statement.where(place > tuple_(*after))
    if external_id is not None:
        statement = statement.where(SubjectRow.external_id == external_id)
    if name_prefix is not None:
        escaped = re.sub(r"[/%_]", r"/\g<0>", name_prefix)
        # Lowered by Postgres like the names: Python's rules are others (a Greek final sigma).
        statement = statement.where(
            func.lower(SubjectRow.name).startswith(func.lower(escaped), escape="/")
        )
    statement = statement.order_by(SubjectRow.created_at, SubjectRow.id).limit(limit)
    return [StoredSubject(*row) for row in await session.execute(statement)]


async def collection_of(session: AsyncSession, subject_id: UUID) -> UUID | None:
    """Find the collection that a subject is in."""
    return await session.scalar(select(SubjectRow.collection_id).where(SubjectRow.id == subject_id))


async def lock_subject(session: AsyncSession, subject_id: UUID) -> SubjectRow | None:
    """Find a subject and keep others from changing it until the transaction ends."""
    return await session.scalar(
        select(SubjectRow).where(SubjectRow.id == subject_id).with_for_update()
    )


async def id_of_external_id(
    session: AsyncSession, *, collection_id: UUID, external_id: str
) -> UUID | None:
    """Find the subject that has an external id."""
    return await session.scalar(
        select(SubjectRow.id).where(
            SubjectRow.collection_id == collection_id, SubjectRow.external_id == external_id
        )
    )


async def insert_subject(
    session: AsyncSession,
    *,
    collection_id: UUID,
    external_id: str | None,
    name: str | None,
    metadata: dict[str, Any],
    consent_reference: str | None,
) -> UUID | None:
    """Make a subject; None if the external id is taken. Waits for one who is just taking it."""
    return await session.scalar(
        insert(SubjectRow)
        .values(
            collection_id=collection_id,
            external_id=external_id,
            name=name,
            metadata_=metadata,
            consent_reference=consent_reference,
        )
        .on_conflict_do_nothing(index_elements=[SubjectRow.collection_id, SubjectRow.external_id])
        .returning(SubjectRow.id)
    )


async def set_external_id(session: AsyncSession, subject_id: UUID, external_id: str | None) -> bool:
    """Give a locked subject an external id, or take it away; False if another one has it."""
    statement = (
        update(SubjectRow).where(SubjectRow.id == subject_id).values(external_id=external_id)
    )
    try:
        # By itself in the savepoint: whatever objects changed in one that fails are lost.
        async with session.begin_nested():
            await session.execute(statement, execution_options={"synchronize_session": False})
    except IntegrityError:
        return False
    return True


async def delete_subject(session: AsyncSession, subject_id: UUID) -> None:
    """Delete a subject with its samples and variants."""
    await session.execute(delete(SubjectRow).where(SubjectRow.id == subject_id))


async def picture_hashes(session: AsyncSession, subject_id: UUID) -> set[bytes]:
    """List the SHA-256 of the pictures that a subject was enrolled with."""
    return set(
        await session.scalars(
            select(SampleRow.picture_sha256).where(SampleRow.subject_id == subject_id)
        )
    )


async def insert_sample(
    session: AsyncSession, vault: Vault, *, subject_id: UUID, face: PreparedFace
) -> UUID | None:
    """Store a face with its variants; None if the subject has a sample of this picture."""
    sample_id = await session.scalar(
        insert(SampleRow)
        .values(
            subject_id=subject_id,
            template=vault.seal(to_bytes(face.template), purpose=SAMPLE, owner=subject_id),
            picture_sha256=face.picture_sha256,
            quality_score=face.quality.score,
            quality_reasons=list(face.quality.reasons),
        )
        .on_conflict_do_nothing(index_elements=[SampleRow.subject_id, SampleRow.picture_sha256])
        .returning(SampleRow.id)
    )
    if sample_id is not None and face.variants:
        await session.execute(
            insert(VariantRow),
            [
                {
                    "sample_id": sample_id,
                    "kind": kind,
                    "template": vault.seal(to_bytes(template), purpose=VARIANT, owner=sample_id),
                }
                for kind, template in face.variants
            ],
        )
    return sample_id


async def list_samples(session: AsyncSession, subject_id: UUID) -> list[StoredSample]:
    """List a subject's samples, oldest first."""
    statement = (
        select(
            SampleRow.id,
            SampleRow.quality_score,
            SampleRow.quality_reasons,
            SampleRow.created_at,
            PictureRow.sample_id.is_not(None),
        )
        .outerjoin(PictureRow, PictureRow.sample_id == SampleRow.id)
        .where(SampleRow.subject_id == subject_id)
        .order_by(SampleRow.created_at, SampleRow.id)
    )
    return [StoredSample(*row) for row in await session.execute(statement)]


async def delete_sample(session: AsyncSession, *, subject_id: UUID, sample_id: UUID) -> bool:
    """Delete a sample with its variants; False if the subject has none of this id."""
    deleted = await session.scalar(
        delete(SampleRow)
        .where(SampleRow.id == sample_id, SampleRow.subject_id == subject_id)
        .returning(SampleRow.id)
    )
    return deleted is not None


def to_bytes(template: Floats) -> bytes:
    """Write a template as it is sealed: float32, little-endian."""
    return template.astype(TEMPLATE_DTYPE).tobytes()
