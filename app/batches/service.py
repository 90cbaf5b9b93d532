"""Take batches in, show how far they are, and what became of their items."""

import asyncio
import io
from functools import partial
from typing import BinaryIO
from uuid import UUID, uuid4

from sqlalchemy.exc import IntegrityError

from app.audit.facts import note
from app.batches import repository
from app.batches.handling import batch_work
from app.batches.items import Format, items
from app.batches.schemas import (
    ENROL,
    IDENTIFY,
    REPORTS,
    BatchItems,
    BatchKind,
    BatchOut,
    EnrolOptions,
    IdentifyOptions,
    Report,
)
from app.batches.upload import store_upload
from app.encryption.contents import JOB_ITEM
from app.encryption.repository import is_of_rotated_key
from app.gallery.lookup import find_gallery
from app.jobs import repository as jobs_repository
from app.jobs.repository import StoredJob
from app.keys.caller import Caller
from app.problems import (
    CollectionNotFound,
    EmptyBatch,
    FieldsNotAllowed,
    InvalidCursor,
    JobNotFound,
)
from app.services import Services


def learn_batches(services: Services) -> None:
    """Have this process able to run batches."""
    for kind in (ENROL, IDENTIFY):
        services.jobs.hands.learn(kind, partial(batch_work, services))


async def submit(
    kind: BatchKind,
    *,
    file: BinaryIO,
    file_format: Format,
    options: EnrolOptions | IdentifyOptions,
    caller: Caller,
    services: Services,
) -> BatchOut:
    """Take a batch in; on return it is durable, and will be worked on.

    Args:
        kind: what is to be done.
        file: the upload, at its beginning.
        file_format: of it.
        options: of its kind.
        caller: who asks for it.
        services: the opened parts of the service.

    Raises:
        CollectionNotFound, EmbedderMismatch: there is nothing to work on.
        UnsupportedArchive, CorruptArchive, UnsafeArchive, TooManyEntries, EmptyBatch: nothing in
            the upload will be worked on.
    """
    if isinstance(options, IdentifyOptions) and None not in (options.max_fpir, options.threshold):
        raise FieldsNotAllowed("Send `max_fpir` or `threshold`, not both.")
    live = await find_gallery(services.galleries, options.collection)
    size = await asyncio.to_thread(file.seek, 0, io.SEEK_END)
    file.seek(0)
    total = await asyncio.to_thread(_survey, file, file_format, size, kind, services)
    if total == 0:
        raise EmptyBatch("The upload holds no pictures, by the ends of their names, or no lines.")
    file.seek(0)
    job_id = uuid4()
    fields = {
        "id": job_id,
        "collection_id": live.collection_id,
        "kind": kind,
        "key_id": caller.key_id,
        "options": options.model_dump() | {"format": file_format, "bytes": size, "total": total},
    }
    try:
        async with services.database.transaction() as session:
            await jobs_repository.insert_job(session, fields)
            await store_upload(session, services.vault, job_id=job_id, file=file)
    except IntegrityError as error:
        if is_of_rotated_key(error):
            raise
        raise CollectionNotFound("The collection was deleted meanwhile.") from None
    note(collection_id=live.collection_id, outcome="queued")
    await services.jobs.announce()
    return await show(kind, job_id, services)


def _survey(
    file: BinaryIO, file_format: Format, size: int, kind: BatchKind, services: Services
) -> int:
    """Go through an upload without working on it: what is wrong with the whole is found now."""
    coming = items(
        file,
        file_format,
        size=size,
        enrol=kind == ENROL,
        max_picture_bytes=services.settings.max_image_bytes,
        skip=lambda _: True,
    )
    return sum(1 for _ in coming)


async def show(kind: BatchKind, job_id: UUID, services: Services) -> BatchOut:
    """Show how far a batch is.

    Raises:
        JobNotFound: there is none of this id and kind.
    """
    async with services.database.snapshot() as session:
        found = await jobs_repository.list_jobs(session, job_id=job_id)
        stored = _of_kind(found, kind)
        counts = await repository.counts(session, job_id)
    note(collection_id=stored.row.collection_id)
    return BatchOut.of(stored, done=counts.done, failed=counts.failed)


async def cancel(kind: BatchKind, job_id: UUID, services: Services) -> BatchOut:
    """Ask for the end of a batch; what is done stays so.

    Raises:
        JobNotFound: there is none of this id and kind.
        JobFinished: it is over.
    """
    await show(kind, job_id, services)
    await services.jobs.cancel(job_id)
    return await show(kind, job_id, services)


async def list_items(
    kind: BatchKind,
    job_id: UUID,
    *,
    cursor: str | None,
    limit: int,
    only_failed: bool,
    services: Services,
) -> BatchItems:
    """List what became of a batch's items, in the upload's order, as far as they are done.

    Raises:
        JobNotFound: there is none of this id and kind.
        InvalidCursor: the cursor is not from an earlier page.
    """
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 9):
        raise InvalidCursor("Send `next_cursor` of an earlier answer as it was.")
    async with services.database.snapshot() as session:
        stored = _of_kind(await jobs_repository.list_jobs(session, job_id=job_id), kind)
        # One more than is shown tells whether there are more.
        rows = await repository.list_items(
            session,
            job_id,
            after=-1 if cursor is None else int(cursor),
            only_failed=only_failed,
            limit=limit + 1,
        )
    note(collection_id=stored.row.collection_id)
    shown = rows[:limit]

    def opened() -> list[Report]:
        # In a thread: it takes a while, and may have to learn a newer data key first.
        reports = (services.vault.open(row.report, purpose=JOB_ITEM, owner=job_id) for row in shown)
        return [REPORTS[kind].model_validate_json(report) for report in reports]

    return BatchItems(
        items=await asyncio.to_thread(opened),
        next_cursor=str(shown[-1].position) if len(rows) > limit else None,
    )


def _of_kind(found: list[StoredJob], kind: BatchKind) -> StoredJob:
    if not found or found[0].row.kind != kind:
        raise JobNotFound("No batch has this id.")
    return found[0]
