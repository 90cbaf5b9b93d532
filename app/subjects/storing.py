"""Store an enrolment: subject, samples, variants and the feed's row in one transaction."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import UploadFile
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.facts import note
from app.database import Database
from app.gallery.live import LiveGallery
from app.gallery.repository import embedder_of, lock_collection, record_change
from app.idempotency.claim import keep_answer
from app.identify.schemas import Box, QualityOut
from app.pictures.repository import are_kept
from app.pictures.service import keep
from app.problems import CollectionNotFound, NoFaceEnrolled, SubjectNotFound
from app.subjects import repository
from app.subjects.pictures import PreparedFace, Rejection, Verdict
from app.subjects.review import DUPLICATE
from app.subjects.schemas import AcceptedImage, ConflictingImage, EnrolAnswer, RejectedImage
from app.subjects.service import external_id_taken, show_subject
from vault.vault import Vault

Also = Callable[[AsyncSession, EnrolAnswer], Awaitable[None]]
"""What else is written with an enrolment; if this raises, nothing is stored."""


class EmbedderChanged(Exception):
    """The collection has another embedder than the one that made the templates."""


@dataclass(frozen=True)
class NewSubject:
    """Whom the faces are enrolled for, if it is nobody known."""

    external_id: str | None
    name: str | None
    metadata: dict[str, Any]
    consent_reference: str | None


async def store(
    verdicts: Sequence[Verdict],
    images: Sequence[UploadFile],
    target: NewSubject | UUID,
    live: LiveGallery,
    database: Database,
    vault: Vault,
    request_id: str,
    also: Also | None = None,
) -> EnrolAnswer:
    """Store the faces that are left, in one transaction with the subject and the feed's row; and
    with what else is to be true, if anything.
    """
    accepted: list[AcceptedImage] = []
    rejected: list[ConflictingImage | RejectedImage] = []
    async with database.transaction() as session:
        subject_id = await _open_subject(session, target, live)
        keep_pictures = await are_kept(session, live.collection_id)
        for index, (verdict, image) in enumerate(zip(verdicts, images, strict=True)):
            filename = _printable(image.filename)
            if isinstance(verdict, PreparedFace):
                sample_id = await repository.insert_sample(
                    session, vault, subject_id=subject_id, face=verdict
                )
                if sample_id is not None:
                    if keep_pictures:
                        await keep(session, vault, sample_id=sample_id, content=verdict.picture)
                    accepted.append(_accepted(index, filename, sample_id, verdict))
                    continue
                verdict = DUPLICATE  # another call has enrolled it since we looked
            rejected.append(_rejected(index, filename, verdict))
        if not accepted:
            # Raised in the transaction, so that the subject goes with it.
            raise NoFaceEnrolled(
                "Every picture was rejected; `rejected` says why.",
                rejected=[each.model_dump(mode="json") for each in rejected],
            )
        stored = await repository.find_subject(session, subject_id)
        assert stored is not None  # noqa: S101  (this transaction has made or locked it)
        note(subject_ids=[subject_id], outcome="enrolled")
        revision = await record_change(
            session,
            collection_id=live.collection_id,
            subject_id=subject_id,
            kind="samples_added" if isinstance(target, UUID) else "subject_enrolled",
        )
        answer = EnrolAnswer(
            subject=show_subject(stored),
            accepted=accepted,
            rejected=rejected,
            revision=revision,
            request_id=request_id,
        )
        keep_answer(answer, status=201, revision=revision, subject_id=subject_id)
        if also is not None:
            await also(session, answer)
    return answer


async def _open_subject(
    session: AsyncSession, target: NewSubject | UUID, live: LiveGallery
) -> UUID:
    """Make the new subject, or lock the known one."""
    if not await lock_collection(session, live.collection_id):
        raise CollectionNotFound("The collection was deleted meanwhile.")
    if await embedder_of(session, live.collection_id) != live.embedder:
        raise EmbedderChanged
    if isinstance(target, UUID):
        if await repository.lock_subject(session, target) is None:
            raise SubjectNotFound("The subject was deleted meanwhile.")
        return target
    subject_id = await repository.insert_subject(
        session,
        collection_id=live.collection_id,
        external_id=target.external_id,
        name=target.name,
        metadata=target.metadata,
        consent_reference=target.consent_reference,
    )
    if subject_id is None:
        assert target.external_id is not None  # noqa: S101  (nothing else is unique)
        taken_by = await repository.id_of_external_id(
            session, collection_id=live.collection_id, external_id=target.external_id
        )
        raise external_id_taken(taken_by)
    return subject_id


def _accepted(
    index: int, filename: str | None, sample_id: UUID, face: PreparedFace
) -> AcceptedImage:
    return AcceptedImage(
        index=index,
        filename=filename,
        sample_id=sample_id,
        box=Box.of(face.box),
        quality=QualityOut.of(face.quality),
    )


def _rejected(index: int, filename: str | None, rejection: Rejection) -> RejectedImage:
    told = {
        "index": index,
        "filename": filename,
        "reason": rejection.reason,
        "detail": rejection.detail,
    }
    if rejection.conflicting_subject_id is None:
        return RejectedImage.model_validate(told)
    return ConflictingImage.model_validate(
        told | {"conflicting_subject_id": rejection.conflicting_subject_id}
    )


def _printable(filename: str | None) -> str | None:
    """A form can declare a charset that decodes to half a surrogate pair, which JSON can't hold."""
    return filename and filename.encode(errors="replace").decode()
