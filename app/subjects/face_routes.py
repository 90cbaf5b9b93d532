"""Routes that take pictures of subjects: enrol, and verify."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, File, Form, UploadFile

from app.deps import Enroller, FromMemory, Reader, RequestId, ServicesDep
from app.problems import (
    IMAGE_PROBLEMS,
    Behind,
    CollectionNotFound,
    EmbedderMismatch,
    ExternalIdTaken,
    FieldsNotAllowed,
    InvalidKey,
    InvalidMetadata,
    InvalidRequest,
    MissingKey,
    MissingScope,
    MultipleFaces,
    NoFace,
    NoFaceEnrolled,
    NoSamples,
    Overloaded,
    SubjectNotFound,
    TooManyImages,
    problems,
)
from app.revisions import MinRevision, describe_revision, naming_revision
from app.settings import MAX_ENROL_IMAGES
from app.subjects import enrolment, verify
from app.subjects.metadata import ConsentReference, SubjectText
from app.subjects.pictures import Select
from app.subjects.schemas import EnrolAnswer, EnrolProblem, VerifyAnswer

_ENROL_PROBLEMS = problems(
    CollectionNotFound,
    SubjectNotFound,
    ExternalIdTaken,
    EmbedderMismatch,
    InvalidRequest,
    InvalidMetadata,
    FieldsNotAllowed,
    TooManyImages,
    NoFaceEnrolled,
    Behind,
    Overloaded,
)
_ENROL_PROBLEMS[NoFaceEnrolled.status]["model"] = EnrolProblem

router = APIRouter(
    dependencies=[Depends(naming_revision)],
    responses=problems(MissingKey, InvalidKey, MissingScope),
)

SelectField = Annotated[
    Select | None,
    Form(description="Which face is meant where a picture shows several; without it, none is."),
]


@router.post(
    "/enroll",
    status_code=201,
    tags=["subjects"],
    summary="Enrol a subject, or add samples to one",
    responses=_ENROL_PROBLEMS | describe_revision(201),
)
async def enroll(
    _caller: Enroller,
    services: ServicesDep,
    request_id: RequestId,
    images: Annotated[
        list[UploadFile],
        File(
            description="1 to 20 pictures (JPEG, PNG, WebP) of one person.",
            json_schema_extra={"minItems": 1, "maxItems": MAX_ENROL_IMAGES},
        ),
    ],
    name: Annotated[SubjectText | None, Form(description="What people call the subject.")] = None,
    external_id: Annotated[
        SubjectText | None, Form(description="Your own id; unique in the collection.")
    ] = None,
    metadata: Annotated[
        str | None, Form(description="A JSON object of yours, at most 16 KiB and 32 levels deep.")
    ] = None,
    consent_reference: Annotated[
        ConsentReference | None,
        Form(description="Where the subject's consent is on file, in your own words."),
    ] = None,
    collection: Annotated[
        str | None,
        Form(description="Which collection; `default` unless `subject_id` says another one."),
    ] = None,
    subject_id: Annotated[
        UUID | None,
        Form(
            description="A known subject to add samples to. It keeps its name, external id, "
            "metadata and consent reference: change those with PATCH."
        ),
    ] = None,
    select: SelectField = None,
    allow_conflict: Annotated[
        bool, Form(description="Enrol faces that are taken for another subject, too.")
    ] = False,
    min_revision: MinRevision = None,
) -> EnrolAnswer:
    """Make a subject of some pictures, or add samples to a known one. Scope `enroll`.

    Each picture gives one sample, or is rejected with a reason; one accepted picture is enough
    for 201. Then the subject is durable, and found by every search from now on. The pictures are
    not kept, unless the collection says `keep_pictures`.
    """
    return await enrolment.enrol(
        images=images,
        subject_id=subject_id,
        external_id=external_id,
        name=name,
        metadata=metadata,
        consent_reference=consent_reference,
        collection=collection,
        select=select,
        allow_conflict=allow_conflict,
        min_revision=min_revision,
        services=services,
        request_id=request_id,
    )


@router.post(
    "/verify",
    tags=["identify"],
    summary="Say whether two faces are of one person",
    dependencies=[FromMemory],
    responses=describe_revision(200)
    | problems(
        Behind,
        SubjectNotFound,
        NoSamples,
        EmbedderMismatch,
        InvalidRequest,
        FieldsNotAllowed,
        NoFace,
        MultipleFaces,
        *IMAGE_PROBLEMS.values(),
        Overloaded,
    ),
)
async def verify_faces(
    _caller: Reader,
    services: ServicesDep,
    request_id: RequestId,
    image_a: Annotated[UploadFile | None, File(description="With `image_b`.")] = None,
    image_b: Annotated[UploadFile | None, File(description="With `image_a`.")] = None,
    image: Annotated[UploadFile | None, File(description="With `subject_id`.")] = None,
    subject_id: Annotated[UUID | None, Form(description="With `image`.")] = None,
    select: SelectField = None,
    max_fmr: Annotated[
        float,
        Form(
            ge=1e-6,
            le=0.5,
            description="At most this share of pairs of strangers may be a match.",
        ),
    ] = 1e-3,
    min_revision: MinRevision = None,
) -> VerifyAnswer:
    """Compare the faces of two pictures, or a picture's with a subject's. Scope `identify`.

    Send `image_a` and `image_b`, or `image` and `subject_id`. This is a comparison of one with
    one; to find out who somebody is, `/identify` asks the whole collection.
    """
    if image_a is not None and image_b is not None and image is None and subject_id is None:
        return await verify.verify_images(
            images={"image_a": image_a, "image_b": image_b},
            select=select,
            max_fmr=max_fmr,
            services=services,
            request_id=request_id,
        )
    if image is not None and subject_id is not None and image_a is None and image_b is None:
        return await verify.verify_subject(
            image=image,
            subject_id=subject_id,
            select=select,
            max_fmr=max_fmr,
            min_revision=min_revision,
            services=services,
            request_id=request_id,
        )
    raise FieldsNotAllowed("Send `image_a` and `image_b`, or `image` and `subject_id`.")
