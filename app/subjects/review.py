"""Which of the prepared faces are enrolled: rules that compare them with each other and with the
gallery. Each rule leaves the pictures in their places and turns faces into rejections.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.subjects.pictures import PreparedFace, Rejection, Verdict
from models.arrays import Floats
from models.calibration import Calibration
from models.gallery import Gallery
from models.self_calibration import SelfCalibration

CONSISTENT_FMR = 1e-3
"""Two pictures count as of one person from the threshold that one pair of strangers in a thousand
reaches. A higher threshold would refuse people whom years or a pose have changed."""

CONFLICT_MAX_FPIR = 1e-4
"""A new face is taken for an enrolled subject only where one stranger in ten thousand would be:
refusing an enrolment wrongly costs more than a duplicate."""

DUPLICATE = Rejection("duplicate_picture", "The subject is enrolled with this very picture.")
_NOT_THE_SUBJECT = Rejection(
    "inconsistent_face", "The face is not alike enough to the subject's samples."
)
_NOT_THE_OTHERS = Rejection(
    "inconsistent_face", "The face is not alike enough to those of the other pictures."
)


def review(
    verdicts: Sequence[Verdict],
    *,
    gallery: Gallery,
    prior: Calibration,
    calibration: SelfCalibration,
    enrolled_before: AbstractSet[bytes],
    known_subject: UUID | None,
    allow_conflict: bool,
) -> list[Verdict]:
    """Apply all rules to the pictures of one call.

    Args:
        verdicts: of each picture so far.
        gallery: of the collection, as it is now.
        prior: of the embedder.
        calibration: of the gallery.
        enrolled_before: SHA-256 of the pictures that the subject has.
        known_subject: whom the faces are enrolled for, if it is nobody new.
        allow_conflict: leave out the comparison with other subjects.
    """
    agree_from = prior.threshold_for_fmr(CONSISTENT_FMR)
    verdicts = reject_duplicates(verdicts, enrolled_before)
    known = _templates_of(gallery, known_subject)
    if known is not None:
        verdicts = _reject_where(
            verdicts, lambda faces: ~of_subject(faces, known, agree_from), _NOT_THE_SUBJECT
        )
    verdicts = _reject_where(
        verdicts, lambda faces: ~of_one_person(faces, agree_from), _NOT_THE_OTHERS
    )
    if not allow_conflict:
        taken_from = calibration.threshold(
            max_fpir=CONFLICT_MAX_FPIR, comparisons=gallery.comparisons
        )
        verdicts = reject_conflicting(verdicts, gallery, taken_from, own=known_subject)
    return verdicts


def reject_duplicates(
    verdicts: Sequence[Verdict], enrolled_before: AbstractSet[bytes]
) -> list[Verdict]:
    """Reject pictures that the subject has, or that came twice in the call."""
    seen = set(enrolled_before)

    def judge(each: Verdict) -> Verdict:
        if isinstance(each, Rejection):
            return each
        if each.picture_sha256 in seen:
            return DUPLICATE
        seen.add(each.picture_sha256)
        return each

    return [judge(each) for each in verdicts]


def of_one_person(templates: Floats, threshold: float) -> NDArray[np.bool_]:
    """Tell which pictures of one call are of the person that most of them show.

    The medoid is the picture that agrees with most others, of equals the one that is most alike
    to all, of those the first; it and whatever agrees with it stays.

    Args:
        templates: (n, d) unit rows; n at least 1.
        threshold: cosine from which two pictures agree.

    Returns:
        (n,) True for those that stay.
    """
    cosines = templates @ templates.T
    agrees = cosines >= threshold
    np.fill_diagonal(agrees, True)
    counts = agrees.sum(axis=1)
    likeness = np.where(counts == counts.max(), cosines.sum(axis=1), -np.inf)
    medoid = int(np.argmax(likeness))
    # Two pictures that disagree are equals but for rounding: the first one stays.
    medoid = int(np.argmax(likeness >= likeness[medoid] - 1e-4))
    stays: NDArray[np.bool_] = agrees[medoid]
    return stays


def of_subject(templates: Floats, known: Floats, threshold: float) -> NDArray[np.bool_]:
    """Tell which pictures are of a subject: alike enough to its most alike sample.

    Args:
        templates: (n, d) unit rows.
        known: (s, d) unit rows of the subject; s at least 1.
        threshold: cosine from which two pictures agree.

    Returns:
        (n,) True for those that are.
    """
    alike: NDArray[np.bool_] = (templates @ known.T).max(axis=1) >= threshold
    return alike


def reject_conflicting(
    verdicts: Sequence[Verdict], gallery: Gallery, threshold: float, *, own: UUID | None
) -> list[Verdict]:
    """Reject faces that are taken for an enrolled subject, other than their own.

    Two calls at once may each enrol the same person: neither is in the gallery of the other.

    Args:
        verdicts: of each picture so far.
        gallery: of the collection.
        threshold: score from which a face is taken for a subject.
        own: the subject that the faces are enrolled for, if it is a known one.
    """

    def judge(each: Verdict) -> Verdict:
        if isinstance(each, Rejection):
            return each
        quality = np.array([each.quality.score], np.float32)
        (search,) = gallery.search(each.template[np.newaxis], quality, 2)
        for candidate in search.candidates:
            if candidate.subject_id != own and candidate.score >= threshold:
                return Rejection(
                    "conflicts_with_subject",
                    "The face is taken for another subject; `allow_conflict=true` enrols it "
                    "all the same.",
                    conflicting_subject_id=candidate.subject_id,
                )
        return each

    return [judge(each) for each in verdicts]


def _templates_of(gallery: Gallery, subject_id: UUID | None) -> Floats | None:
    if subject_id is None:
        return None
    try:
        return gallery.templates_of(subject_id)
    except KeyError:  # a subject whose samples were all deleted
        return None


def _reject_where(
    verdicts: Sequence[Verdict],
    rejects: Callable[[Floats], NDArray[np.bool_]],
    rejection: Rejection,
) -> list[Verdict]:
    """Reject the faces whose templates a rule rejects."""
    faces = [each for each in verdicts if isinstance(each, PreparedFace)]
    if not faces:
        return list(verdicts)
    rejected = iter(rejects(np.stack([face.template for face in faces])).tolist())
    return [
        rejection if isinstance(each, PreparedFace) and next(rejected) else each
        for each in verdicts
    ]
