"""List, show, change and delete subjects and their samples."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.facts import note
from app.database import Database
from app.erasures.repository import delete_reports
from app.erasures.service import Holds, write_receipt
from app.gallery.lookup import find_collection_id
from app.gallery.repository import ChangeKind, lock_collection, record_change
from app.gallery.service import Galleries
from app.idempotency.claim import keep_answer
from app.identify.schemas import QualityOut
from app.paging import Position, read_cursor, write_cursor
from app.problems import ExternalIdTaken, FeedbackNotFound, SampleNotFound, SubjectNotFound
from app.revisions import name_revision
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
    collection_id = await find_collection_id(galleries, collection)
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
    """Change what a subject is called and what is noted of it; answers show it from now on.

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
        if "consent_reference" in sent:
            row.consent_reference = change.consent_reference
        await session.flush()
        shown = await _show_with_samples(session, subject_id)
        revision = await _record(session, row, "subject_updated")
        keep_answer(shown, status=200, revision=revision, subject_id=subject_id)
    name_revision(revision)
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
        erasure_id, revision = await erase(session, row, holds)
        keep_answer(None, status=204, revision=revision, headers=receipt_headers(erasure_id))
    name_revision(revision)
    await galleries.catch_up(row.collection_id, revision=revision)
    return erasure_id


def receipt_headers(erasure_id: UUID) -> dict[str, str]:
    """Name the receipt of an erasure in an answer."""
    return {"Location": f"/admin/erasures/{erasure_id}", "Cohort-Erasure": str(erasure_id)}


async def erase(session: AsyncSession, row: SubjectRow, holds: Holds) -> tuple[UUID, int]:
    """Erase a locked subject with all that is kept of it, as the last act of the transaction.

    Returns:
        Id of the receipt, and the collection's revision without the subject.
    """
    erasure_id = await write_receipt(
        session, collection_id=row.collection_id, subject_id=row.id, holds=holds
    )
    await delete_reports(session, collection_id=row.collection_id, subject_id=row.id)
    await repository.delete_subject(session, row.id)
    note(outcome="deleted")
    return erasure_id, await _record(session, row, "subject_deleted")


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
        keep_answer(None, status=204, revision=revision)
    name_revision(revision)
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
        "consent_reference": row.consent_reference,
        "collection": stored.collection,
        "sample_count": stored.sample_count,
        "created_at": row.created_at,
    }


async def _show_with_samples(session: AsyncSession, subject_id: UUID) -> SubjectWithSamples:
    stored = await repository.find_subject(session, subject_id)
    if stored is None:
        raise SubjectNotFound("No subject has this id.")
    note(collection_id=stored.row.collection_id)
    samples = [
        SampleOut(
            sample_id=sample.sample_id,
            quality=QualityOut(
                score=round(sample.quality_score, 4), reasons=sample.quality_reasons
            ),
            created_at=sample.created_at,
            picture_kept=sample.picture_kept,
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
            yield session, await lock_with_collection(session, subject_id)
    except (SubjectNotFound, SampleNotFound, FeedbackNotFound):
        # Whoever is told that it is gone must not find it: another process has deleted it, or
        # this one without having been able to tell the gallery.
        await galleries.catch_up_with(subject_id)
        raise


async def lock_with_collection(session: AsyncSession, subject_id: UUID) -> SubjectRow:
    """Keep others from changing a subject, and from deleting its collection, until the end.

    Raises:
        SubjectNotFound: there is no such subject.
    """
    # The collection first, as everybody who takes both: whoever deletes it has it when the turn
    # comes to its subjects.
    collection_id = await repository.collection_of(session, subject_id)
    if collection_id is not None and await lock_collection(session, collection_id):
        row = await repository.lock_subject(session, subject_id)
        if row is not None:
            note(collection_id=collection_id, subject_ids=[subject_id], outcome="changed")
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
