from uuid import UUID

from models.decide import Candidate, decide

ANN, BOB, CAT = (UUID(int=number) for number in range(3))
GAP = 0.05


def listed(*pairs: tuple[UUID, float]) -> list[Candidate]:
    return [Candidate(subject, score) for subject, score in pairs]


def test_at_the_threshold_is_a_match_and_below_is_unknown() -> None:
    at, below = decide([listed((ANN, 0.5)), listed((BOB, 0.49999))], 0.5, GAP)
    assert (at.decision, at.best) == ("match", Candidate(ANN, 0.5))
    assert (below.decision, below.best) == ("unknown", None)
    assert below.candidates == (Candidate(BOB, 0.49999),)


def test_a_subject_is_named_once_a_picture_and_the_better_face_gets_it() -> None:
    worse, better = decide([listed((ANN, 0.6), (BOB, 0.3)), listed((ANN, 0.9))], 0.5, GAP)
    assert better.best == Candidate(ANN, 0.9)
    assert (worse.decision, worse.best) == ("unknown", None)
    assert worse.candidates[0].subject_id == ANN


def test_the_other_face_gets_its_own_next_match() -> None:
    first, second = decide(
        [listed((ANN, 0.9)), listed((ANN, 0.8), (BOB, 0.7), (CAT, 0.6))], 0.5, GAP
    )
    assert first.best == Candidate(ANN, 0.9)
    assert second.best == Candidate(BOB, 0.7)


def test_no_face_and_no_candidate() -> None:
    assert decide([], 0.5, GAP) == ()
    [answer] = decide([[]], -1.0, GAP)
    assert (answer.decision, answer.best, answer.candidates) == ("unknown", None, ())


def test_equal_scores_go_to_the_larger_face() -> None:
    first, second = decide([listed((ANN, 0.9)), listed((ANN, 0.9))], 0.5, GAP)
    assert first.best is not None
    assert second.best is None


def test_two_subjects_that_are_too_alike_are_ambiguous() -> None:
    [answer] = decide([listed((ANN, 0.8), (BOB, 0.76), (CAT, 0.7))], 0.5, GAP)
    assert (answer.decision, answer.best) == ("ambiguous", None)
    assert answer.contenders == (Candidate(ANN, 0.8), Candidate(BOB, 0.76))


def test_a_runner_up_below_the_threshold_or_far_behind_is_no_contender() -> None:
    below, behind = decide(
        [listed((ANN, 0.52), (CAT, 0.49)), listed((BOB, 0.8), (CAT, 0.74))], 0.5, GAP
    )
    assert (below.decision, behind.decision) == ("match", "match")
    assert below.contenders == ()


def test_whom_another_face_gets_is_no_contender() -> None:
    first, second = decide([listed((ANN, 0.9)), listed((BOB, 0.7), (ANN, 0.69))], 0.5, GAP)
    assert first.best == Candidate(ANN, 0.9)
    assert second.best == Candidate(BOB, 0.7)


def test_a_rejected_candidate_is_neither_match_nor_contender() -> None:
    rejected = Candidate(ANN, 0.9, rejected=True)
    [alone] = decide([[rejected]], 0.5, GAP)
    assert (alone.decision, alone.candidates) == ("unknown", (rejected,))
    [other] = decide([[rejected, Candidate(BOB, 0.88)]], 0.5, GAP)
    assert other.best == Candidate(BOB, 0.88)
