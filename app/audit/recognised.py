"""What an identification's entry says of the faces of the picture."""

from collections import Counter
from collections.abc import Sequence

from app.audit.facts import note
from models.decide import FaceAnswer

NO_FACE = "no_face"


def note_recognised(answers: Sequence[FaceAnswer]) -> None:
    """Note whom the faces were taken for, and how they were decided.

    The outcome is the decision of the only face, or counts, such as `match=2 unknown=1`.
    """
    decisions = Counter(answer.decision for answer in answers)
    match sorted(decisions.items()):
        case []:
            outcome = NO_FACE
        case [(only, 1)]:
            outcome = only
        case several:
            outcome = " ".join(f"{decision}={count}" for decision, count in several)
    for answer in answers:
        taken_for = answer.contenders if answer.best is None else (answer.best,)
        note(subject_ids=[each.subject_id for each in taken_for])
    note(outcome=outcome)
