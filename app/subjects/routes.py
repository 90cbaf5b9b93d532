"""Routes that read and change subjects."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Response

from app.collections.schemas import DEFAULT_COLLECTION
from app.deps import Enroller, Reader, ServicesDep
from app.problems import (
    CollectionNotFound,
    ExternalIdTaken,
    InvalidCursor,
    InvalidKey,
    InvalidMetadata,
    InvalidRequest,
    MissingKey,
    MissingScope,
    SampleNotFound,
    SubjectNotFound,
    problems,
)
from app.revisions import describe_revision, naming_revision
from app.subjects import service
from app.subjects.metadata import SubjectText
from app.subjects.schemas import SubjectChange, SubjectPage, SubjectWithSamples

router = APIRouter(
    prefix="/subjects",
    tags=["subjects"],
    dependencies=[Depends(naming_revision)],
    responses=problems(MissingKey, InvalidKey, MissingScope),
)

_DELETED: dict[int | str, dict[str, Any]] = {
    204: {
        "description": "It is deleted.",
        "headers": {
            "Location": {
                "description": "Where a key with the scope `admin` sees the receipt.",
                "schema": {"type": "string"},
            },
            "Cohort-Erasure": {
                "description": "The receipt's id.",
                "schema": {"type": "string", "format": "uuid"},
            },
            **describe_revision(204)[204]["headers"],
        },
    }
}

SubjectId = Annotated[UUID, Path(description="The subject's id, as `/enroll` gave it.")]


@router.get(
    "",
    summary="List subjects",
    responses=problems(CollectionNotFound, InvalidCursor, InvalidRequest),
)
async def list_subjects(
    _caller: Reader,
    services: ServicesDep,
    collection: Annotated[str, Query(description="Which collection.")] = DEFAULT_COLLECTION,
    limit: Annotated[int, Query(ge=1, le=1000, description="Subjects a page.")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=100, description="`next_cursor` of the page before.")
    ] = None,
    external_id: Annotated[
        SubjectText | None, Query(description="Only the subject with this external id.")
    ] = None,
    name_prefix: Annotated[
        SubjectText | None,
        Query(description="Only subjects whose name begins so, in capitals or not."),
    ] = None,
) -> SubjectPage:
    """List a collection's subjects, oldest first, a page at a time. Scope `identify`.

    Pages stay in order while subjects come and go, and none is shown twice. One that is enrolled
    while you read is mostly on the last page; it can be missed if several are enrolled at once.
    """
    return await service.list_subjects(
        collection=collection,
        limit=limit,
        cursor=cursor,
        external_id=external_id,
        name_prefix=name_prefix,
        database=services.database,
        galleries=services.galleries,
    )


@router.get(
    "/{subject_id}",
    summary="Show a subject",
    responses=problems(SubjectNotFound, InvalidRequest),
)
async def get_subject(
    _caller: Reader, services: ServicesDep, subject_id: SubjectId
) -> SubjectWithSamples:
    """Show a subject and its samples. Scope `identify`."""
    return await service.get_subject(subject_id=subject_id, database=services.database)


@router.patch(
    "/{subject_id}",
    summary="Change a subject",
    responses=problems(SubjectNotFound, ExternalIdTaken, InvalidRequest, InvalidMetadata)
    | describe_revision(200),
)
async def update_subject(
    _caller: Enroller, services: ServicesDep, subject_id: SubjectId, change: SubjectChange
) -> SubjectWithSamples:
    """Change what a subject is called and what is noted of it; what is not sent stays.

    Scope `enroll`.
    """
    return await service.update_subject(
        subject_id=subject_id,
        change=change,
        database=services.database,
        galleries=services.galleries,
    )


@router.delete(
    "/{subject_id}",
    status_code=204,
    summary="Delete a subject",
    responses=problems(SubjectNotFound, InvalidRequest) | _DELETED,
)
async def delete_subject(
    _caller: Enroller, services: ServicesDep, response: Response, subject_id: SubjectId
) -> None:
    """Delete a subject with all its samples and what was said of it. Scope `enroll`.

    Once this is answered, the subject is found no more, not even by a bundle that was trained with
    it. The receipt in `Location` tells which bundles were, and when the last of them is gone.
    """
    erasure_id = await service.delete_subject(
        subject_id=subject_id,
        database=services.database,
        galleries=services.galleries,
        holds=services.bundles.files.holds,
    )
    response.headers.update(service.receipt_headers(erasure_id))


@router.delete(
    "/{subject_id}/samples/{sample_id}",
    status_code=204,
    summary="Delete a sample",
    responses=problems(SubjectNotFound, SampleNotFound, InvalidRequest) | describe_revision(204),
)
async def delete_sample(
    _caller: Enroller,
    services: ServicesDep,
    subject_id: SubjectId,
    sample_id: Annotated[UUID, Path(description="The sample's id.")],
) -> None:
    """Delete one sample of a subject, such as a bad picture. Scope `enroll`.

    A subject without samples stays, and can be given new ones, but searches don't find it.
    """
    await service.delete_sample(
        subject_id=subject_id,
        sample_id=sample_id,
        database=services.database,
        galleries=services.galleries,
    )
