"""List, show, change and delete subjects and their samples."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.database import Database
from app.erasures.service import Holds, write_receipt
from app.gallery.repository import ChangeKind, lock_collection, record_change
from app.gallery.service import Galleries
from app.identify.schemas import QualityOut
from app.paging import Position, read_cursor, write_cursor
from app.problems import ExternalIdTaken, FeedbackNotFound, SampleNotFound, SubjectNotFound
from app.subjects import repository
from app.subjects.metadata import check_metadata
from app.subjects.repository import StoredSubject
from app.subjects.schemas import (
    SampleOut,
    SubjectChange,
    SubjectOut,
    SubjectPage,
    SubjectWithSamples,
)
from app.tables import SubjectRow


async def list_subjects(
    *,
    collection: str,
    limit: int,
    cursor: str | None,
    external_id: str | None,
    name_prefix: str | None,
    database: Database,
    galleries: Galleries,
) -> SubjectPage:
    """List a page of a collection's subjects, oldest first.

    Raises:
        CollectionNotFound: there is no such collection.
        InvalidCursor: the cursor is not from an earlier page.
    """
    collection_id = galleries.find(collection).collection_id
    after = None if cursor is None else read_cursor(cursor)
    async with database.snapshot() as session:
        # One more than is shown tells whether there are more.
        found = await repository.list_subjects(
            session,
            collection_id=collection_id,
            limit=limit + 1,
            after=after,
            external_id=external_id,
            name_prefix=name_prefix,
        )
    shown = found[:limit]
    last = Position(shown[-1].row.created_at, shown[-1].row.id) if len(found) > limit else None
    return SubjectPage(
        subjects=[show_subject(each) for each in shown],
        next_cursor=last and write_cursor(last),
    )


async def get_subject(*, subject_id: UUID, database: Database) -> SubjectWithSamples:
    """Show a subject and its samples.

    Raises:
        SubjectNotFound: there is no such subject.
    """
    async with database.snapshot() as session:
        return await _show_with_samples(session, subject_id)


async def update_subject(
    *, subject_id: UUID, change: SubjectChange, database: Database, galleries: Galleries
) -> SubjectWithSamples:
    """Change a subject's name, external id or metadata; answers show it from now on.

    Raises:
        SubjectNotFound: there is no such subject.
        ExternalIdTaken: another subject of the collection has the external id.
        InvalidMetadata: the metadata can't be kept.
    """
    if change.metadata is not None:
        check_metadata(change.metadata)
    async with changing(subject_id, database, galleries) as (session, row):
        sent = change.model_fields_set
        if "external_id" in sent and change.external_id != row.external_id:
            await _claim_external_id(session, row, change.external_id)
        if "name" in sent:
            row.name = change.name
        if "metadata" in sent:
            row.metadata_ = change.metadata or {}
        await session.flush()
        shown = await _show_with_samples(session, subject_id)
        revision = await _record(session, row, "subject_updated")
    await galleries.catch_up(row.collection_id, revision=revision)
    return shown


async def delete_subject(
    *, subject_id: UUID, database: Database, galleries: Galleries, holds: Holds
) -> UUID:
    """Delete a subject with all that is kept of it; on return it is found no more.

    `holds` tells of the collection's bundles which were trained with the subject.

    Returns:
        Id of the erasure's receipt.

    Raises:
        SubjectNotFound: there is no such subject.
    """
    async with changing(subject_id, database, galleries) as (session, row):
        erasure_id = await write_receipt(
            session, collection_id=row.collection_id, subject_id=subject_id, holds=holds
        )
        await repository.delete_subject(session, subject_id)
        revision = await _record(session, row, "subject_deleted")
    await galleries.catch_up(row.collection_id, revision=revision)
    return erasure_id


async def delete_sample(
    *, subject_id: UUID, sample_id: UUID, database: Database, galleries: Galleries
) -> None:
    """Delete a sample; a subject without any stays, but is found no more.

    Raises:
        SubjectNotFound, SampleNotFound: there is no such subject, or sample of it.
    """
    async with changing(subject_id, database, galleries) as (session, row):
        if not await repository.delete_sample(session, subject_id=subject_id, sample_id=sample_id):
            raise SampleNotFound("The subject has no sample of this id.")
        revision = await _record(session, row, "sample_deleted")
    await galleries.catch_up(row.collection_id, revision=revision)


def show_subject(stored: StoredSubject) -> SubjectOut:
    """Show a subject as the API does."""
    return SubjectOut(**_fields_of(stored))


def _fields_of(stored: StoredSubject) -> dict[str, Any]:
    row = stored.row
    return {
        "subject_id": row.id,
        "external_id": row.external_id,
        "name": row.name,
        "metadata": row.metadata_,
        "collection": stored.collection,
        "sample_count": stored.sample_count,
        "created_at": row.created_at,
    }


async def _show_with_samples(session: AsyncSession, subject_id: UUID) -> SubjectWithSamples:
    stored = await repository.find_subject(session, subject_id)
    if stored is None:
        raise SubjectNotFound("No subject has this id.")
    samples = [
        SampleOut(
            sample_id=sample.sample_id,
            quality=QualityOut(
                score=round(sample.quality_score, 4), reasons=sample.quality_reasons
            ),
            created_at=sample.created_at,
        )
        for sample in await repository.list_samples(session, subject_id)
    ]
    return SubjectWithSamples(**_fields_of(stored), samples=samples)


@asynccontextmanager
async def changing(
    subject_id: UUID, database: Database, galleries: Galleries
) -> AsyncIterator[tuple[AsyncSession, SubjectRow]]:
    """Run the block in a transaction that nobody else changes the subject in.

    Raises:
        SubjectNotFound: there is no such subject.
    """
    try:
        async with database.transaction() as session:
            yield session, await _lock(session, subject_id)
    except (SubjectNotFound, SampleNotFound, FeedbackNotFound):
        # Whoever is told that it is gone must not find it: another process has deleted it, or
        # this one without having been able to tell the gallery.
        await galleries.catch_up_with(subject_id)
        raise


async def _lock(session: AsyncSession, subject_id: UUID) -> SubjectRow:
    # The collection first, as everybody who takes both: whoever deletes it has it when the turn
    # comes to its subjects.
    collection_id = await repository.collection_of(session, subject_id)
    if collection_id is not None and await lock_collection(session, collection_id):
        row = await repository.lock_subject(session, subject_id)
        if row is not None:
            return row
    raise SubjectNotFound("No subject has this id.")


async def _claim_external_id(
    session: AsyncSession, row: SubjectRow, external_id: str | None
) -> None:
    if not await repository.set_external_id(session, row.id, external_id):
        assert external_id is not None  # noqa: S101  (only a value can be taken)
        taken_by = await repository.id_of_external_id(
            session, collection_id=row.collection_id, external_id=external_id
        )
        raise external_id_taken(taken_by)


def external_id_taken(subject_id: UUID | None) -> ExternalIdTaken:
    """Say whose the external id is; None if that subject has just been deleted."""
    return ExternalIdTaken(
        "Another subject of the collection has this external_id; "
        "to add samples to that one, send its `subject_id`.",
        subject_id=subject_id and str(subject_id),
    )


async def _record(session: AsyncSession, row: SubjectRow, kind: ChangeKind) -> int:
    return await record_change(
        session, collection_id=row.collection_id, subject_id=row.id, kind=kind
    )
