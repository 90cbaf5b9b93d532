"""Routes that look at a picture and keep nothing of it."""

from typing import Annotated

from fastapi import APIRouter, Depends, File, Form, UploadFile

from app.collections.schemas import DEFAULT_COLLECTION
from app.deps import FromMemory, Reader, RequestId, ServicesDep
from app.identify import service
from app.identify.schemas import DetectAnswer, IdentifyAnswer
from app.problems import (
    IMAGE_PROBLEMS,
    Behind,
    CollectionNotFound,
    EmbedderMismatch,
    FieldsNotAllowed,
    InvalidKey,
    InvalidRequest,
    MissingKey,
    MissingScope,
    Overloaded,
    Problem,
    problems,
)
from app.revisions import MinRevision, describe_revision, naming_revision

router = APIRouter(
    tags=["identify"],
    dependencies=[Depends(naming_revision), FromMemory],
    responses=problems(MissingKey, InvalidKey, MissingScope),
)

Image = Annotated[UploadFile, File(description="A JPEG, PNG or WebP picture.")]
Collection = Annotated[str, Form(description="Which collection.")]

_PICTURE_PROBLEMS: tuple[type[Problem], ...] = (
    InvalidRequest,
    *IMAGE_PROBLEMS.values(),
    Overloaded,
)


@router.post(
    "/identify",
    summary="Say who is in a picture",
    responses=problems(
        CollectionNotFound, EmbedderMismatch, FieldsNotAllowed, Behind, *_PICTURE_PROBLEMS
    )
    | describe_revision(200),
)
async def identify(
    _caller: Reader,
    services: ServicesDep,
    request_id: RequestId,
    image: Image,
    collection: Collection = DEFAULT_COLLECTION,
    limit: Annotated[int, Form(ge=1, le=50, description="Candidates a face at most.")] = 5,
    max_fpir: Annotated[
        float | None,
        Form(
            ge=1e-5,
            le=0.5,
            description="At most this share of strangers may be taken for somebody; the threshold "
            "follows from it and from the gallery's size. Default: COHORT_DEFAULT_MAX_FPIR, 0.01.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        Form(ge=-1, le=1, description="The lowest score that is a match, instead of `max_fpir`."),
    ] = None,
    min_revision: MinRevision = None,
) -> IdentifyAnswer:
    """Name every face of a picture, or say that it is unknown. Scope `identify`.

    A picture without a face is answered with an empty list. `candidates` always lists the nearest
    subjects, so that a person can look for oneself; only `best` is an identification. A subject
    is `best` once in a picture at most.
    """
    return await service.identify(
        image=image,
        collection=collection,
        limit=limit,
        max_fpir=max_fpir,
        threshold=threshold,
        min_revision=min_revision,
        services=services,
        request_id=request_id,
    )


@router.post(
    "/detect", summary="Find the faces in a picture", responses=problems(*_PICTURE_PROBLEMS)
)
async def detect(
    _caller: Reader, services: ServicesDep, request_id: RequestId, image: Image
) -> DetectAnswer:
    """Find every face of a picture: boxes, landmarks, quality. Scope `identify`.

    The quality codes are those that `/enroll` uses, so this tells beforehand what it will say.
    """
    return await service.detect(image=image, services=services, request_id=request_id)
