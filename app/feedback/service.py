"""Take, show and take back what people say of an identification."""

import os
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.database import Database
from app.encryption.contents import FEEDBACK, SECRET, secret_owner
from app.feedback import repository
from app.feedback.repository import Verdict
from app.feedback.schemas import FeedbackList, FeedbackOut
from app.feedback.sealing import KEY_BYTES, Probe, Sealer
from app.gallery.repository import (
    current_revision,
    embedder_of,
    record_change,
)
from app.gallery.service import Galleries
from app.idempotency.claim import keep_answer
from app.problems import FeedbackNotFound, InvalidIdentification, SubjectNotFound
from app.revisions import name_revision
from app.subjects.repository import collection_of, to_bytes
from app.subjects.service import changing
from app.tables import FeedbackRow
from vault.vault import Vault

KEY_NAME = "identification"


async def open_sealer(database: Database, vault: Vault) -> Sealer:
    """Make the sealer of the key that all services on this database share.

    Raises:
        SealBroken, UnknownDataKey: the stored key can't be opened.
    """
    owner = secret_owner(KEY_NAME)
    fresh = vault.seal(os.urandom(KEY_BYTES), purpose=SECRET, owner=owner)
    async with database.transaction() as session:
        sealed = await repository.shared_key(session, name=KEY_NAME, fresh=fresh)
        if len(sealed) == KEY_BYTES:  # it was stored as it is before there was a vault
            sealed = vault.seal(sealed, purpose=SECRET, owner=owner)
            await repository.replace_key(session, name=KEY_NAME, value=sealed)
    return Sealer(vault.open(sealed, purpose=SECRET, owner=owner))


async def give_feedback(
    *,
    subject_id: UUID,
    identification_id: str,
    verdict: Verdict,
    sealer: Sealer,
    database: Database,
    galleries: Galleries,
    vault: Vault,
) -> FeedbackOut:
    """Keep a verdict; on return the next search knows it. Said again, nothing changes.

    Raises:
        InvalidIdentification: the id can't be opened, or is of an embedder that the collection had
            before.
        SubjectNotFound: there is no such subject, or the face was searched in another collection.
    """
    probe = sealer.open(identification_id, [each.sha256 for each in galleries.embedders])
    async with changing(subject_id, database, galleries) as (session, subject):
        if subject.collection_id != probe.collection_id:
            raise SubjectNotFound("No subject of the collection that was searched has this id.")
        await _check_embedder(session, probe)
        row = await repository.upsert(
            session,
            collection_id=subject.collection_id,
            subject_id=subject_id,
            identification_sha256=probe.sha256,
            verdict=verdict,
            template=vault.seal(to_bytes(probe.template), purpose=FEEDBACK, owner=subject_id),
        )
        if row is None:
            # Whatever it was that said so first, it is not after the last change.
            if (revision := await current_revision(session, subject.collection_id)) is not None:
                name_revision(revision)
            return _show(
                await repository.find(
                    session, subject_id=subject_id, identification_sha256=probe.sha256
                )
            )
        revision = await record_change(
            session,
            collection_id=subject.collection_id,
            subject_id=subject_id,
            kind="feedback_given",
        )
        shown = _show(row)
        keep_answer(shown, status=201, revision=revision, subject_id=subject_id)
    name_revision(revision)
    await galleries.catch_up(subject.collection_id, revision=revision)
    return shown


async def _check_embedder(session: AsyncSession, probe: Probe) -> None:
    embedder = await embedder_of(session, probe.collection_id)
    if embedder is None or probe.embedder_sha256 != embedder.sha256:
        raise InvalidIdentification(
            "The collection's embedder was changed since this answer; identify the picture again."
        )


async def list_feedback(*, subject_id: UUID, database: Database) -> FeedbackList:
    """List what was said of a subject, oldest first.

    Raises:
        SubjectNotFound: there is no such subject.
    """
    async with database.snapshot() as session:
        if await collection_of(session, subject_id) is None:
            raise SubjectNotFound("No subject has this id.")
        rows = await repository.list_of(session, subject_id)
    return FeedbackList(feedback=[_show(row) for row in rows])


async def delete_feedback(
    *, subject_id: UUID, feedback_id: UUID, database: Database, galleries: Galleries
) -> None:
    """Take a verdict back; on return the next search knows it.

    Raises:
        SubjectNotFound, FeedbackNotFound: there is no such subject, or verdict on it.
    """
    async with changing(subject_id, database, galleries) as (session, subject):
        if not await repository.delete_one(session, subject_id=subject_id, feedback_id=feedback_id):
            raise FeedbackNotFound("The subject has no feedback of this id.")
        revision = await record_change(
            session,
            collection_id=subject.collection_id,
            subject_id=subject_id,
            kind="feedback_given",
        )
        keep_answer(None, status=204, revision=revision)
    name_revision(revision)
    await galleries.catch_up(subject.collection_id, revision=revision)


def _show(row: FeedbackRow) -> FeedbackOut:
    return FeedbackOut.model_validate(
        {
            "feedback_id": row.id,
            "subject_id": row.subject_id,
            "verdict": row.verdict,
            "created_at": row.created_at,
        }
    )
