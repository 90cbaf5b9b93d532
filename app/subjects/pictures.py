"""The model work of an enrolment: one picture -> one face and its templates, or why not."""

import hashlib
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import numpy as np

from models.arrays import Floats
from models.decode import PictureRefused
from models.degrade import DegradedKind, degraded_copies
from models.embed import embed
from models.identifier import FoundFaces, QueryPath, find_faces
from models.quality import Quality

Select = Literal["largest", "center"]
"""Which of several faces is meant."""

SURE_DETECTION_SCORE = 0.95
"""Beside a face of this score, lesser ones do not make a picture ambiguous: in two portraits the
detector took a thing that is no face for one, at 0.85 and 0.92. Of the centred faces in 958
pictures of Labeled Faces in the Wild one in a thousand scores below 0.94."""

SEVERAL_FACES = "The picture shows several faces; `select=largest` or `select=center` chooses one."


@dataclass(frozen=True)
class PreparedFace:
    """The face of one picture, ready to be stored."""

    picture_sha256: bytes
    box: Floats
    """(4,) x1, y1, x2, y2 in pixels."""
    quality: Quality
    template: Floats
    """(d,) of unit length."""
    variants: tuple[tuple[DegradedKind, Floats], ...]
    """Templates, (d,) each, of degraded copies."""
    picture: bytes
    """The upload itself: stored only where the collection keeps pictures."""


@dataclass(frozen=True)
class Rejection:
    """Why a picture gives no sample."""

    reason: str
    detail: str
    conflicting_subject_id: UUID | None = None


Verdict = PreparedFace | Rejection


def prepare_picture(
    path: QueryPath, data: bytes, *, select: Select | None, min_quality: float, variants: int
) -> Verdict:
    """Find the one face that a picture is enrolled for, and make its templates.

    Args:
        path: the opened nets.
        data: the upload.
        select: which face, where there are several; None rejects such a picture.
        min_quality: the lowest quality score that is enrolled.
        variants: how many degraded copies to make templates of.
    """
    try:
        found = find_faces(path, data)
    except PictureRefused as refused:
        return Rejection(refused.code, refused.detail)
    if len(found) == 0:
        return Rejection("no_face", "The picture shows no face.")
    face = choose_face(found, select)
    if face is None:
        return Rejection("multiple_faces", SEVERAL_FACES)
    quality = found.qualities[face]
    if quality.score < min_quality:
        reasons = f": {', '.join(quality.reasons)}" if quality.reasons else ""
        return Rejection(
            "low_quality",
            f"The face's quality is {quality.score:.2f}, {min_quality:.2f} is needed{reasons}.",
        )
    digest = hashlib.sha256(data).digest()
    # Seeded by the picture, so that the same picture gives the same templates.
    copies = degraded_copies(
        found.crops[face], variants, np.random.default_rng(int.from_bytes(digest[:8], "little"))
    )
    templates = embed(path.embedder, np.stack([found.crops[face], *(copy.crop for copy in copies)]))
    return PreparedFace(
        picture_sha256=digest,
        box=found.detections.boxes[face],
        quality=quality,
        template=templates[0],
        variants=tuple(
            (copy.kind, template) for copy, template in zip(copies, templates[1:], strict=True)
        ),
        picture=data,
    )


def choose_face(found: FoundFaces, select: Select | None) -> int | None:
    """Give the index of the face that is meant; there is at least one.

    Returns:
        None where it could be several and `select` does not say which.
    """
    if select == "center":
        return found.nearest_to_centre()
    sure = np.flatnonzero(found.detections.scores >= SURE_DETECTION_SCORE)
    if select is None and len(found) > 1 and len(sure) != 1:
        return None
    # They come largest first.
    return 0 if select == "largest" or len(found) == 1 else int(sure[0])
