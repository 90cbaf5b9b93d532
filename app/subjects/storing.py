"""Store an enrolment: subject, samples, variants and the feed's row in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import UploadFile
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import Database
from app.gallery.live import LiveGallery
from app.gallery.repository import lock_collection, record_change
from app.identify.schemas import Box, QualityOut
from app.problems import CollectionNotFound, NoFaceEnrolled, SubjectNotFound
from app.subjects import repository
from app.subjects.pictures import PreparedFace, Rejection, Verdict
from app.subjects.review import DUPLICATE
from app.subjects.schemas import AcceptedImage, ConflictingImage, EnrolAnswer, RejectedImage
from app.subjects.service import external_id_taken, show_subject


@dataclass(frozen=True)
class NewSubject:
    """Whom the faces are enrolled for, if it is nobody known."""

    external_id: str | None
    name: str | None
    metadata: dict[str, Any]


async def store(
    verdicts: Sequence[Verdict],
    images: Sequence[UploadFile],
    target: NewSubject | UUID,
    live: LiveGallery,
    database: Database,
    request_id: str,
) -> EnrolAnswer:
    """Store the faces that are left, in one transaction with the subject and the feed's row."""
    accepted: list[AcceptedImage] = []
    rejected: list[ConflictingImage | RejectedImage] = []
    async with database.transaction() as session:
        subject_id = await _open_subject(session, target, live)
        for index, (verdict, image) in enumerate(zip(verdicts, images, strict=True)):
            filename = _printable(image.filename)
            if isinstance(verdict, PreparedFace):
                sample_id = await repository.insert_sample(
                    session, subject_id=subject_id, face=verdict
                )
                if sample_id is not None:
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
        revision = await record_change(
            session,
            collection_id=live.collection_id,
            subject_id=subject_id,
            kind="samples_added" if isinstance(target, UUID) else "subject_enrolled",
        )
    return EnrolAnswer(
        subject=show_subject(stored),
        accepted=accepted,
        rejected=rejected,
        revision=revision,
        request_id=request_id,
    )


async def _open_subject(
    session: AsyncSession, target: NewSubject | UUID, live: LiveGallery
) -> UUID:
    """Make the new subject, or lock the known one."""
    if not await lock_collection(session, live.collection_id):
        raise CollectionNotFound("The collection was deleted meanwhile.")
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
