"""Routes of feedback."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path

from app.deps import Enroller, Reader, ServicesDep
from app.feedback import service
from app.feedback.schemas import FeedbackList, FeedbackOut, NewFeedback
from app.problems import (
    FeedbackNotFound,
    InvalidIdentification,
    InvalidKey,
    InvalidRequest,
    MissingKey,
    MissingScope,
    SubjectNotFound,
    problems,
)
from app.revisions import describe_revision, naming_revision
from app.subjects.routes import SubjectId

router = APIRouter(
    prefix="/subjects/{subject_id}/feedback",
    tags=["subjects"],
    dependencies=[Depends(naming_revision)],
    responses=problems(MissingKey, InvalidKey, MissingScope, SubjectNotFound, InvalidRequest),
)


@router.post(
    "",
    status_code=201,
    summary="Say whether a face was the subject's",
    responses=problems(InvalidIdentification, InvalidRequest) | describe_revision(201),
)
async def give_feedback(
    _caller: Enroller, services: ServicesDep, subject_id: SubjectId, new: NewFeedback
) -> FeedbackOut:
    """Confirm or reject that a face of an `/identify` answer is this subject's. Scope `enroll`.

    A rejected face is not answered as a match of this subject again, and the next training keeps
    the two apart; a confirmed one is a further sample for the next training. Only the face's
    template is kept, and goes with the subject. Said again, nothing changes; another verdict on
    the same face takes the first one's place.
    """
    return await service.give_feedback(
        subject_id=subject_id,
        identification_id=new.identification_id,
        verdict=new.verdict,
        sealer=services.sealer,
        database=services.database,
        galleries=services.galleries,
        vault=services.vault,
    )


@router.get("", summary="List what was said of a subject")
async def list_feedback(
    _caller: Reader, services: ServicesDep, subject_id: SubjectId
) -> FeedbackList:
    """List the verdicts on faces that a subject was or was not, oldest first. Scope `identify`."""
    return await service.list_feedback(subject_id=subject_id, database=services.database)


@router.delete(
    "/{feedback_id}",
    status_code=204,
    summary="Take a verdict back",
    responses=problems(FeedbackNotFound, SubjectNotFound) | describe_revision(204),
)
async def delete_feedback(
    _caller: Enroller,
    services: ServicesDep,
    subject_id: SubjectId,
    feedback_id: Annotated[UUID, Path(description="The verdict's id.")],
) -> None:
    """Take back what was said of a face, and forget its template. Scope `enroll`."""
    await service.delete_feedback(
        subject_id=subject_id,
        feedback_id=feedback_id,
        database=services.database,
        galleries=services.galleries,
    )
