"""Find and name the faces of a picture. Nothing here asks the database: all is in memory."""

from collections.abc import Mapping
from uuid import UUID

from fastapi import UploadFile

from app.audit.recognised import note_recognised
from app.feedback.sealing import Sealer
from app.gallery.live import LiveGallery
from app.gallery.lookup import find_gallery
from app.gallery.repository import Label
from app.identify.schemas import (
    Box,
    CandidateOut,
    DetectAnswer,
    Face,
    IdentifiedFace,
    IdentifyAnswer,
    Landmarks,
    NormalizedBox,
    QualityOut,
    RoutingOut,
    rounded,
)
from app.problems import IMAGE_PROBLEMS, FieldsNotAllowed, ImageTooLarge
from app.revisions import name_revision
from app.services import Services
from app.tracing import span_stages
from models import identifier
from models.decide import Candidate
from models.decode import DecodeLimits, PictureRefused
from models.identifier import FoundFaces, Identification


async def identify(
    *,
    image: UploadFile,
    collection: str | UUID,
    limit: int,
    max_fpir: float | None,
    threshold: float | None,
    min_revision: int | None,
    services: Services,
    request_id: str,
) -> IdentifyAnswer:
    """Name every face of a picture, or say that it is unknown; `collection` is a name or an id."""
    if max_fpir is not None and threshold is not None:
        raise FieldsNotAllowed("Send `max_fpir` or `threshold`, not both.")
    live = await find_gallery(services.galleries, collection, min_revision=min_revision)
    if threshold is None:
        if max_fpir is None:
            max_fpir = services.settings.default_max_fpir
        threshold = live.calibration.threshold(
            max_fpir=max_fpir, comparisons=live.gallery.comparisons
        )
    path = services.embedders.of(live.embedder).path
    data = await read_image(image, path.limits)
    try:
        identification = await services.inference.run(
            identifier.identify,
            path,
            data,
            live.gallery,
            live.calibration,
            limit=limit,
            threshold=threshold,
        )
    except PictureRefused as refused:
        raise IMAGE_PROBLEMS[refused.code](refused.detail) from None
    note_recognised(identification.answers)
    services.metrics.observe_identification(identification, live)
    span_stages(identification.timings_ms)
    name_revision(live.gallery.revision)
    return IdentifyAnswer(
        faces=[
            _identified(face, index, identification, live, services.sealer)
            for index, face in enumerate(show_faces(identification.found))
        ],
        threshold=round(threshold, 6),
        timings_ms=rounded(identification.timings_ms),
        embedder=live.embedder_name,
        bundle=live.bundle_id,
        revision=live.gallery.revision,
        request_id=request_id,
    )


async def detect(*, image: UploadFile, services: Services, request_id: str) -> DetectAnswer:
    """Find every face of a picture."""
    data = await read_image(image, services.path.limits)
    try:
        found = await services.inference.run(identifier.find_faces, services.path, data)
    except PictureRefused as refused:
        raise IMAGE_PROBLEMS[refused.code](refused.detail) from None
    services.metrics.observe_stages(found.timings_ms)
    span_stages(found.timings_ms)
    return DetectAnswer(
        faces=show_faces(found), timings_ms=rounded(found.timings_ms), request_id=request_id
    )


async def read_image(image: UploadFile, limits: DecodeLimits) -> bytes:
    """Read an uploaded picture, unless it is larger than any may be.

    Raises:
        ImageTooLarge: it is.
    """
    if (image.size or 0) > limits.max_bytes:
        raise ImageTooLarge(
            f"The picture has {image.size} bytes; {limits.max_bytes} are allowed "
            "(COHORT_MAX_IMAGE_BYTES)."
        )
    return await image.read()


def show_faces(found: FoundFaces) -> list[Face]:
    """Show what was found, in the same order."""
    detections = found.detections
    return [
        Face(
            box=Box.of(box),
            box_normalized=NormalizedBox.of(
                box, width_px=found.width_px, height_px=found.height_px
            ),
            landmarks=Landmarks.of(landmarks),
            detection_score=round(float(score), 4),
            quality=QualityOut.of(quality),
        )
        for box, landmarks, score, quality in zip(
            detections.boxes, detections.landmarks, detections.scores, found.qualities, strict=True
        )
    ]


def _identified(
    face: Face, index: int, identification: Identification, live: LiveGallery, sealer: Sealer
) -> IdentifiedFace:
    answer = identification.answers[index]
    return IdentifiedFace(
        box=face.box,
        box_normalized=face.box_normalized,
        landmarks=face.landmarks,
        detection_score=face.detection_score,
        quality=face.quality,
        identification_id=sealer.seal(
            live.collection_id, identification.templates[index], live.embedder_sha256
        ),
        decision=answer.decision,
        probability=_rounded(identification.probabilities[index]),
        candidates=[_candidate(candidate, live.labels) for candidate in answer.candidates],
        best=answer.best and _candidate(answer.best, live.labels),
        routing=RoutingOut.of(identification.searches[index].routing),
    )


def _candidate(candidate: Candidate, labels: Mapping[UUID, Label]) -> CandidateOut:
    label = labels[candidate.subject_id]
    return CandidateOut(
        subject_id=candidate.subject_id,
        external_id=label.external_id,
        name=label.name,
        score=round(candidate.score, 6),
        source=candidate.source,
        rejected=candidate.rejected,
    )


def _rounded(probability: float | None) -> float | None:
    return None if probability is None else round(probability, 4)
