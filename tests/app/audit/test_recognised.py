from uuid import UUID, uuid4

import pytest

from app.audit.facts import collecting
from app.audit.recognised import note_recognised
from models.decide import Candidate, FaceAnswer

ANN, BEN, EVE = (uuid4() for _ in range(3))


def match(subject_id: UUID) -> FaceAnswer:
    best = Candidate(subject_id, 0.9)
    return FaceAnswer("match", (best, Candidate(EVE, 0.1)), best)


def unknown() -> FaceAnswer:
    return FaceAnswer("unknown", (Candidate(EVE, 0.1),), None)


def ambiguous(first: UUID, second: UUID) -> FaceAnswer:
    both = (Candidate(first, 0.9), Candidate(second, 0.89))
    return FaceAnswer("ambiguous", (*both, Candidate(EVE, 0.1)), None, both)


@pytest.mark.parametrize(
    ("answers", "outcome", "subject_ids"),
    [
        ([], "no_face", []),
        ([match(ANN)], "match", [ANN]),
        ([unknown()], "unknown", []),
        ([ambiguous(ANN, BEN)], "ambiguous", [ANN, BEN]),
        ([unknown(), unknown()], "unknown=2", []),
        ([match(BEN), unknown(), match(ANN)], "match=2 unknown=1", [BEN, ANN]),
    ],
)
def test_an_identification_names_whom_it_took_the_faces_for(
    answers: list[FaceAnswer], outcome: str, subject_ids: list[UUID]
) -> None:
    with collecting() as facts:
        note_recognised(answers)
    assert (facts.outcome, facts.subject_ids) == (outcome, subject_ids)
