"""Enrol the faces of some pictures, for a new subject or a known one.

A picture stays in or is rejected with a reason; the reasons are looked for in this order: it can't
be decoded, shows no face, or several; is of low quality; was enrolled before; is not of the same
person as the others; is of another subject.
"""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from fastapi import UploadFile

from app.collections.schemas import DEFAULT_COLLECTION
from app.gallery.live import LiveGallery
from app.identify.service import read_image
from app.problems import (
    CollectionNotFound,
    FieldsNotAllowed,
    ImageTooLarge,
    SubjectNotFound,
    TooManyImages,
)
from app.services import Services
from app.settings import MAX_ENROL_IMAGES
from app.subjects import repository
from app.subjects.metadata import parse_metadata
from app.subjects.pictures import Rejection, Select, Verdict, prepare_picture
from app.subjects.review import review
from app.subjects.schemas import EnrolAnswer
from app.subjects.service import external_id_taken
from app.subjects.storing import NewSubject, store


async def enrol(
    *,
    images: Sequence[UploadFile],
    subject_id: UUID | None,
    external_id: str | None,
    name: str | None,
    metadata: str | None,
    collection: str | None,
    select: Select | None,
    allow_conflict: bool,
    services: Services,
    request_id: str,
) -> EnrolAnswer:
    """Enrol the faces of some pictures; on return they are durable and searchable.

    Args:
        images: the uploads, in the order of the answer's indices.
        subject_id: a known subject to add samples to; it keeps what it is called.
        external_id: of a new subject, as `name` and `metadata`, a JSON object.
        name: what people call it.
        metadata: whatever the client wants to keep with it.
        collection: its name; the subject's own, or the default one, if not given.
        select: which face of several is meant.
        allow_conflict: enrol faces that are taken for another subject, too.
        services: the opened parts of the service.
        request_id: for the answer.

    Raises:
        NoFaceEnrolled: every picture was rejected; nothing is stored.
        Problem: others of the route's; nothing is stored either.
    """
    if len(images) > MAX_ENROL_IMAGES:
        raise TooManyImages(f"{len(images)} pictures; {MAX_ENROL_IMAGES} are allowed in a call.")
    if subject_id is None:
        live = services.galleries.find_usable(collection or DEFAULT_COLLECTION)
        target: NewSubject | UUID = NewSubject(
            external_id, name, {} if metadata is None else parse_metadata(metadata)
        )
    else:
        if (external_id, name, metadata) != (None, None, None):
            raise FieldsNotAllowed(
                "`subject_id` adds samples only; change `name`, `external_id` and `metadata` "
                "with PATCH /subjects/{subject_id}."
            )
        live = services.galleries.find_by_subject(subject_id)
        if collection not in (None, live.collection_name):
            raise SubjectNotFound("No subject of this collection has this id.")
        target = subject_id
    enrolled_before = await _check_target(target, live, services)
    async with services.inference.place():
        prepared = await _prepare(images, select, services)
        # Taken only now: others have enrolled while the pictures were worked on.
        now = services.galleries.live_of(live.collection_id)
        if now is None:
            raise CollectionNotFound("The collection was deleted meanwhile.")
        verdicts = await services.inference.in_thread(
            review,
            prepared,
            gallery=now.gallery,
            prior=services.prior,
            calibration=now.calibration,
            enrolled_before=enrolled_before,
            known_subject=subject_id,
            allow_conflict=allow_conflict,
        )
    answer = await store(verdicts, images, target, live, services.database, request_id)
    await services.galleries.catch_up(live.collection_id, revision=answer.revision)
    return answer


async def _check_target(
    target: NewSubject | UUID, live: LiveGallery, services: Services
) -> set[bytes]:
    """Refuse in good time what the transaction would refuse; list the pictures enrolled before."""
    async with services.database.transaction() as session:
        if isinstance(target, UUID):
            return await repository.picture_hashes(session, target)
        if target.external_id is not None:
            taken_by = await repository.id_of_external_id(
                session, collection_id=live.collection_id, external_id=target.external_id
            )
            if taken_by is not None:
                raise external_id_taken(taken_by)
    return set()


async def _prepare(
    images: Sequence[UploadFile], select: Select | None, services: Services
) -> list[Verdict]:
    settings, path = services.settings, services.path

    async def fetch(image: UploadFile) -> bytes | Rejection:
        try:
            return await read_image(image, path.limits)
        except ImageTooLarge as problem:
            return Rejection(problem.code, problem.detail)

    def prepare(fetched: bytes | Rejection) -> Verdict:
        if isinstance(fetched, Rejection):
            return fetched
        return prepare_picture(
            path,
            fetched,
            select=select,
            min_quality=settings.enroll_min_quality,
            variants=settings.enroll_variants,
        )

    return await services.inference.each_in_thread(
        prepare, [partial(fetch, image) for image in images]
    )
