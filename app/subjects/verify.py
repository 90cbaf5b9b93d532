"""Compare two faces, or a face and a subject: are they of one person?"""

from functools import partial
from uuid import UUID

import numpy as np
from fastapi import UploadFile

from app.audit.facts import note
from app.embedders.running import RunningEmbedder
from app.gallery.lookup import find_gallery_of
from app.identify.service import read_image
from app.problems import IMAGE_PROBLEMS, MultipleFaces, NoFace, NoSamples
from app.revisions import name_revision
from app.services import Services
from app.subjects.pictures import SEVERAL_FACES, Select, choose_face
from app.subjects.schemas import VerifyAnswer
from models.arrays import Floats
from models.class_means import class_means
from models.decode import PictureRefused
from models.embed import embed
from models.fusion import CLASS_MEAN_WEIGHT
from models.identifier import QueryPath, find_faces


async def verify_images(
    *,
    images: dict[str, UploadFile],
    select: Select | None,
    max_fmr: float,
    services: Services,
    request_id: str,
) -> VerifyAnswer:
    """Compare the faces of two pictures, given by the names of their fields."""
    embedder = services.embedders.default
    first, second = await _embed_images(images, select, embedder, services)
    score = float(np.clip(first @ second, -1, 1))
    return _answer(score, max_fmr, embedder, request_id)


async def verify_subject(
    *,
    image: UploadFile,
    subject_id: UUID,
    select: Select | None,
    max_fmr: float,
    min_revision: int | None,
    services: Services,
    request_id: str,
) -> VerifyAnswer:
    """Compare the face of a picture with a subject: with its class mean and its best sample.

    Raises:
        SubjectNotFound, EmbedderMismatch, Behind: see `find_gallery_of`.
        NoSamples: all samples of the subject were deleted.
    """
    live = await find_gallery_of(services.galleries, subject_id, min_revision=min_revision)
    try:
        templates = live.gallery.templates_of(subject_id)
    except KeyError:
        raise NoSamples("Enrol the subject first: it has no samples.") from None
    note(subject_ids=[subject_id])
    name_revision(live.gallery.revision)
    embedder = services.embedders.of(live.embedder)
    (probe,) = await _embed_images({"image": image}, select, embedder, services)
    return _answer(_subject_score(probe, templates), max_fmr, embedder, request_id)


async def _embed_images(
    images: dict[str, UploadFile],
    select: Select | None,
    embedder: RunningEmbedder,
    services: Services,
) -> list[Floats]:
    async def fetch(field: str, image: UploadFile) -> tuple[str, bytes]:
        return field, await read_image(image, embedder.path.limits)

    def work(fetched: tuple[str, bytes]) -> Floats:
        field, data = fetched
        return _embed_one_face(embedder.path, data, field=field, select=select)

    fetches = [partial(fetch, field, image) for field, image in images.items()]
    async with services.inference.place():
        return await services.inference.each_in_thread(work, fetches)


def _embed_one_face(path: QueryPath, data: bytes, *, field: str, select: Select | None) -> Floats:
    """Make the (d,) template of the one face of a picture.

    Raises:
        Problem: naming the field that the picture came in.
    """
    try:
        found = find_faces(path, data)
    except PictureRefused as refused:
        raise IMAGE_PROBLEMS[refused.code](refused.detail, field=field) from None
    if len(found) == 0:
        raise NoFace("The picture shows no face.", field=field)
    face = choose_face(found, select)
    if face is None:
        raise MultipleFaces(SEVERAL_FACES, field=field)
    template: Floats = embed(path.embedder, found.crops[face : face + 1])[0]
    return template


def _subject_score(probe: Floats, templates: Floats) -> float:
    """Score a (d,) probe against a subject's (s, d) templates, half mean and half best sample.

    No subnet takes part: the prior knows what strangers' cosines are, not what subnets make of
    them.
    """
    (mean,) = class_means(templates, np.array([0, len(templates)]))
    best = (templates @ probe).max()
    fused = CLASS_MEAN_WEIGHT * (mean @ probe) + (1 - CLASS_MEAN_WEIGHT) * best
    return float(np.clip(fused, -1, 1))


def _answer(
    score: float, max_fmr: float, embedder: RunningEmbedder, request_id: str
) -> VerifyAnswer:
    threshold = embedder.prior.threshold_for_fmr(max_fmr)
    note(outcome="match" if score >= threshold else "no_match")
    return VerifyAnswer(
        match=score >= threshold,
        score=round(score, 6),
        threshold=round(threshold, 6),
        max_fmr=max_fmr,
        embedder=embedder.manifest.name,
        request_id=request_id,
    )
