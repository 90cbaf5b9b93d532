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
from app.gallery.lookup import find_gallery, find_gallery_of
from app.identify.service import read_image
from app.problems import (
    CollectionNotFound,
    FieldsNotAllowed,
    ImageTooLarge,
    SubjectNotFound,
    TooManyImages,
)
from app.revisions import name_revision
from app.services import Services
from app.settings import MAX_ENROL_IMAGES
from app.subjects import repository
from app.subjects.metadata import parse_metadata
from app.subjects.pictures import Rejection, Select, Verdict, prepare_picture
from app.subjects.review import review
from app.subjects.schemas import EnrolAnswer
from app.subjects.service import external_id_taken
from app.subjects.storing import Also, EmbedderChanged, NewSubject, store
from models.identifier import QueryPath


async def enrol(
    *,
    images: Sequence[UploadFile],
    subject_id: UUID | None,
    external_id: str | None,
    name: str | None,
    metadata: str | None,
    consent_reference: str | None,
    collection: str | UUID | None,
    select: Select | None,
    allow_conflict: bool,
    min_revision: int | None,
    services: Services,
    request_id: str,
    also: Also | None = None,
) -> EnrolAnswer:
    """Enrol the faces of some pictures; on return they are durable and searchable.

    Args:
        images: the uploads, in the order of the answer's indices.
        subject_id: a known subject to add samples to; it keeps what it is called.
        external_id: of a new subject, as `name` and `metadata`, a JSON object.
        name: what people call it.
        metadata: whatever the client wants to keep with it.
        consent_reference: of a new subject, where its consent is on file.
        collection: its name or id; the subject's own, or the default one, if not given.
        select: which face of several is meant.
        allow_conflict: enrol faces that are taken for another subject, too.
        min_revision: of the collection, that the faces are compared with at least.
        services: the opened parts of the service.
        request_id: for the answer.
        also: what else is written in the same transaction.

    Raises:
        NoFaceEnrolled: every picture was rejected; nothing is stored.
        Problem: others of the route's; nothing is stored either.
    """
    if len(images) > MAX_ENROL_IMAGES:
        raise TooManyImages(f"{len(images)} pictures; {MAX_ENROL_IMAGES} are allowed in a call.")
    if subject_id is None:
        live = await find_gallery(
            services.galleries, collection or DEFAULT_COLLECTION, min_revision=min_revision
        )
        target: NewSubject | UUID = NewSubject(
            external_id,
            name,
            {} if metadata is None else parse_metadata(metadata),
            consent_reference,
        )
    else:
        if any(each is not None for each in (external_id, name, metadata, consent_reference)):
            raise FieldsNotAllowed(
                "`subject_id` adds samples only; change `name`, `external_id`, `metadata` and "
                "`consent_reference` with PATCH /subjects/{subject_id}."
            )
        live = await find_gallery_of(services.galleries, subject_id, min_revision=min_revision)
        if collection not in (None, live.collection_name, live.collection_id):
            raise SubjectNotFound("No subject of this collection has this id.")
        target = subject_id
    while True:
        try:
            verdicts = await _judge(images, target, live, select, allow_conflict, services)
            answer = await store(
                verdicts, images, target, live, services.database, services.vault, request_id, also
            )
            break
        except EmbedderChanged:  # since the gallery was found: once more, by the other one
            await services.galleries.catch_up(live.collection_id)
            live = services.galleries.find_usable_by_id(live.collection_id)
    name_revision(answer.revision)
    await services.galleries.catch_up(live.collection_id, revision=answer.revision)
    return answer


async def _judge(
    images: Sequence[UploadFile],
    target: NewSubject | UUID,
    live: LiveGallery,
    select: Select | None,
    allow_conflict: bool,
    services: Services,
) -> list[Verdict]:
    """Prepare the faces by the embedder of a gallery, and decide which stay in.

    Raises:
        EmbedderChanged: the collection has another one by now.
    """
    embedder = services.embedders.of(live.embedder)
    enrolled_before = await _check_target(target, live, services)
    async with services.inference.place():
        prepared = await _prepare(images, select, embedder.path, services)
        # Taken only now: others have enrolled while the pictures were worked on.
        now = services.galleries.live_of(live.collection_id)
        if now is None:
            raise CollectionNotFound("The collection was deleted meanwhile.")
        if now.embedder != live.embedder:
            raise EmbedderChanged
        return await services.inference.in_thread(
            review,
            prepared,
            gallery=now.gallery,
            prior=embedder.prior,
            calibration=now.calibration,
            enrolled_before=enrolled_before,
            known_subject=target if isinstance(target, UUID) else None,
            allow_conflict=allow_conflict,
        )


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
    images: Sequence[UploadFile], select: Select | None, path: QueryPath, services: Services
) -> list[Verdict]:
    settings = services.settings

    async def fetch(image: UploadFile) -> bytes | Rejection:
        try:
            await image.seek(0)  # it is read again where the embedder was changed meanwhile
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
