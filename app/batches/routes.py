"""Routes of the batches: each kind's own, so that a key's scope says which it may use."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from app.batches import service
from app.batches.receiving import ARCHIVE, FORM, NDJSON, read_options, received
from app.batches.schemas import (
    ENROL,
    IDENTIFY,
    BatchItems,
    BatchOut,
    EnrolOptions,
    IdentifyOptions,
    options_schema,
)
from app.deps import Enroller, Reader, ServicesDep
from app.problems import (
    CollectionNotFound,
    CorruptArchive,
    EmbedderMismatch,
    EmptyBatch,
    FieldsNotAllowed,
    InvalidCursor,
    InvalidKey,
    InvalidRequest,
    JobFinished,
    JobNotFound,
    MissingKey,
    MissingScope,
    TooManyEntries,
    UnsafeArchive,
    UnsupportedArchive,
    problems,
)

ENROLMENTS, IDENTIFICATIONS = "/enroll/batch", "/identify/batch"

router = APIRouter(
    tags=["batches"], responses=problems(MissingKey, InvalidKey, MissingScope, InvalidRequest)
)

JobId = Annotated[UUID, Path(description="The batch's `job_id`.")]
Cursor = Annotated[
    str | None, Query(max_length=20, description="`next_cursor` of the page before.")
]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items a page.")]
OnlyFailed = Annotated[bool, Query(alias="failed", description="Only those with an `error`.")]

_SUBMIT = problems(
    CollectionNotFound,
    EmbedderMismatch,
    FieldsNotAllowed,
    UnsupportedArchive,
    CorruptArchive,
    UnsafeArchive,
    TooManyEntries,
    EmptyBatch,
) | {202: {"headers": {"Location": {"description": "The batch.", "schema": {"type": "string"}}}}}


_ARCHIVES = "application/zip, application/x-tar, application/gzip"


def _takes(options: type[EnrolOptions | IdentifyOptions], line: str) -> dict[str, Any]:
    """Describe the two kinds of bodies for OpenAPI."""
    properties = options_schema(options)
    archive = {
        "type": "string",
        "format": "binary",
        "description": "A zip, tar or tar.gz with pictures that end in .jpg, .jpeg, .png or .webp.",
    }
    form = {
        "type": "object",
        "required": [ARCHIVE],
        "properties": {ARCHIVE: archive} | properties,
        "additionalProperties": False,
    }
    parameters = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": {key: value for key, value in schema.items() if key != "description"},
            "description": f"{schema['description']} With NDJSON, which has no form for it.",
        }
        for name, schema in properties.items()
    ]
    return {
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {
                FORM: {"schema": form, "encoding": {ARCHIVE: {"contentType": _ARCHIVES}}},
                NDJSON: {"schema": {"type": "string", "description": line}},
            },
        },
    }


@router.post(
    ENROLMENTS,
    status_code=202,
    summary="Enrol many people",
    responses=_SUBMIT,
    openapi_extra=_takes(
        EnrolOptions,
        "Lines `{external_id, name, metadata, consent_reference, images: [base64, ...]}`; only "
        "`images` is needed.",
    ),
)
async def enroll_batch(
    caller: Enroller, services: ServicesDep, request: Request, response: Response
) -> BatchOut:
    """Enrol an archive with a folder a person, or NDJSON with a line a person. Scope `enroll`.

    A folder's name is the `external_id`, and with blanks for underscores the name. Where a subject
    has the `external_id` already, the pictures are added. `Location` names the batch.
    """
    async with received(request) as upload:
        batch = await service.submit(
            ENROL,
            file=upload.file,
            file_format=upload.format,
            options=read_options(EnrolOptions, upload.fields),
            caller=caller,
            services=services,
        )
    response.headers["Location"] = f"{ENROLMENTS}/{batch.job_id}"
    return batch


@router.post(
    IDENTIFICATIONS,
    status_code=202,
    summary="Say who is in many pictures",
    responses=_SUBMIT,
    openapi_extra=_takes(
        IdentifyOptions, "Lines `{id, image: base64}`; `id` is yours, and need not be there."
    ),
)
async def identify_batch(
    caller: Reader, services: ServicesDep, request: Request, response: Response
) -> BatchOut:
    """Identify the pictures of an archive, or of NDJSON. Scope `identify`.

    `Location` names the batch, whose reports tell whom faces were taken for, and of nobody else.
    """
    async with received(request) as upload:
        batch = await service.submit(
            IDENTIFY,
            file=upload.file,
            file_format=upload.format,
            options=read_options(IdentifyOptions, upload.fields),
            caller=caller,
            services=services,
        )
    response.headers["Location"] = f"{IDENTIFICATIONS}/{batch.job_id}"
    return batch


@router.get(
    ENROLMENTS + "/{job_id}", summary="Show an enrolment batch", responses=problems(JobNotFound)
)
async def get_enroll_batch(_caller: Enroller, services: ServicesDep, job_id: JobId) -> BatchOut:
    """Show how far a batch is. Scope `enroll`, and a key that is good for the collection."""
    return await service.show(ENROL, job_id, services)


@router.get(
    IDENTIFICATIONS + "/{job_id}",
    summary="Show an identification batch",
    responses=problems(JobNotFound),
)
async def get_identify_batch(_caller: Reader, services: ServicesDep, job_id: JobId) -> BatchOut:
    """Show how far a batch is. Scope `identify`, and a key that is good for the collection."""
    return await service.show(IDENTIFY, job_id, services)


@router.get(
    ENROLMENTS + "/{job_id}/items",
    summary="List the reports of an enrolment batch",
    responses=problems(JobNotFound, InvalidCursor),
)
async def list_enroll_items(
    _caller: Enroller,
    services: ServicesDep,
    job_id: JobId,
    cursor: Cursor = None,
    limit: Limit = 100,
    only_failed: OnlyFailed = False,
) -> BatchItems:
    """List what became of the people, in the upload's order. Scope `enroll`.

    A report goes with its subject, and all go `COHORT_BATCH_DAYS` after the batch's end.
    """
    return await service.list_items(
        ENROL, job_id, cursor=cursor, limit=limit, only_failed=only_failed, services=services
    )


@router.get(
    IDENTIFICATIONS + "/{job_id}/items",
    summary="List the reports of an identification batch",
    responses=problems(JobNotFound, InvalidCursor),
)
async def list_identify_items(
    _caller: Reader,
    services: ServicesDep,
    job_id: JobId,
    cursor: Cursor = None,
    limit: Limit = 100,
    only_failed: OnlyFailed = False,
) -> BatchItems:
    """List who is in the pictures, in the upload's order. Scope `identify`.

    A report goes with each subject that a face in it was taken for, and all go `COHORT_BATCH_DAYS`
    after the batch's end.
    """
    return await service.list_items(
        IDENTIFY, job_id, cursor=cursor, limit=limit, only_failed=only_failed, services=services
    )


@router.delete(
    ENROLMENTS + "/{job_id}",
    status_code=202,
    summary="Cancel an enrolment batch",
    responses=problems(JobNotFound, JobFinished),
)
async def cancel_enroll_batch(_caller: Enroller, services: ServicesDep, job_id: JobId) -> BatchOut:
    """Ask for a batch's end; who is enrolled already stays so. Scope `enroll`."""
    return await service.cancel(ENROL, job_id, services)


@router.delete(
    IDENTIFICATIONS + "/{job_id}",
    status_code=202,
    summary="Cancel an identification batch",
    responses=problems(JobNotFound, JobFinished),
)
async def cancel_identify_batch(_caller: Reader, services: ServicesDep, job_id: JobId) -> BatchOut:
    """Ask for a batch's end; its reports so far stay. Scope `identify`."""
    return await service.cancel(IDENTIFY, job_id, services)
