"""Take, show and take back what people say of an identification."""

import os
from uuid import UUID

from app.database import Database
from app.feedback import repository
from app.feedback.repository import Verdict
from app.feedback.schemas import FeedbackList, FeedbackOut
from app.feedback.sealing import KEY_BYTES, Sealer
from app.gallery.repository import record_change
from app.gallery.service import Galleries
from app.problems import FeedbackNotFound, SubjectNotFound
from app.subjects.repository import collection_of, to_bytes
from app.subjects.service import changing
from app.tables import FeedbackRow

KEY_NAME = "identification"


async def open_sealer(database: Database) -> Sealer:
    """Make the sealer of the key that all services on this database share."""
    async with database.transaction() as session:
        key = await repository.shared_key(session, name=KEY_NAME, fresh=os.urandom(KEY_BYTES))
    return Sealer(key)


async def give_feedback(
    *,
    subject_id: UUID,
    identification_id: str,
    verdict: Verdict,
    sealer: Sealer,
    database: Database,
    galleries: Galleries,
) -> FeedbackOut:
    """Keep a verdict; on return the next search knows it. Said again, nothing changes.

    Raises:
        InvalidIdentification: the id can't be opened.
        SubjectNotFound: there is no such subject, or the face was searched in another collection.
    """
    probe = sealer.open(identification_id)
    async with changing(subject_id, database, galleries) as (session, subject):
        if subject.collection_id != probe.collection_id:
            raise SubjectNotFound("No subject of the collection that was searched has this id.")
        row = await repository.upsert(
            session,
            collection_id=subject.collection_id,
            subject_id=subject_id,
            identification_sha256=probe.sha256,
            verdict=verdict,
            template=to_bytes(probe.template),
        )
        if row is None:
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
    await galleries.catch_up(subject.collection_id, revision=revision)
    return _show(row)


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
