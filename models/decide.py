"""Decide who a face is: apply the threshold, name each subject once, admit when two are alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

Decision = Literal["match", "ambiguous", "unknown"]
Source = Literal["bundle", "live"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A subject that a probe may be of."""

    subject_id: UUID
    score: float
    """Fused cosine in [-1, 1]; higher is more alike."""
    source: Source = "live"
    """Whether a trained subnet knows the subject as it is, or it has changed since."""
    sample_count: int = 1
    rejected: bool = False
    """Somebody has said that this very template is not of this subject."""


@dataclass(frozen=True, slots=True)
class FaceAnswer:
    """What is said of one face."""

    decision: Decision
    candidates: tuple[Candidate, ...]
    """The nearest subjects, best first, whatever their score."""
    best: Candidate | None
    """The subject that the face is taken for; None unless `decision` is "match"."""
    contenders: tuple[Candidate, ...] = ()
    """Of an ambiguous face, those among `candidates` that can't be told apart, best first."""


def decide(
    candidates: Sequence[Sequence[Candidate]], threshold: float, gap: float
) -> tuple[FaceAnswer, ...]:
    """Decide for all faces of one picture together.

    A subject stands in a picture once: of two faces that both reach the threshold for the same
    subject, the better one gets it, and the other the next of its own that reaches it, if any.
    A face is ambiguous where another subject, whom no other face of the picture gets, reaches the
    threshold too and is less than `gap` behind.

    Args:
        candidates: for each face its candidates, best first.
        threshold: the lowest score that is a match.
        gap: difference of scores from which two subjects are told apart.

    Returns:
        One answer a face, in the same order.
    """
    claims = sorted(
        (
            (candidate.score, face, candidate)
            for face, listed in enumerate(candidates)
            for candidate in listed
            if candidate.score >= threshold and not candidate.rejected
        ),
        key=lambda claim: (-claim[0], claim[1]),
    )
    best: dict[int, Candidate] = {}
    named: set[UUID] = set()
    for _, face, candidate in claims:
        if face not in best and candidate.subject_id not in named:
            best[face] = candidate
            named.add(candidate.subject_id)
    contenders: dict[int, list[Candidate]] = {}
    for _, face, candidate in claims:
        if candidate.subject_id not in named and best[face].score - candidate.score < gap:
            contenders.setdefault(face, [best[face]]).append(candidate)
    return tuple(
        _answer(tuple(listed), best.get(face), tuple(contenders.get(face, ())))
        for face, listed in enumerate(candidates)
    )


def _answer(
    candidates: tuple[Candidate, ...], best: Candidate | None, contenders: tuple[Candidate, ...]
) -> FaceAnswer:
    if contenders:
        return FaceAnswer("ambiguous", candidates, None, contenders)
    return FaceAnswer("unknown" if best is None else "match", candidates, best)
