from uuid import UUID

import numpy as np

from models.decide import Candidate, decide, fused_scores

ANN, BOB, CAT = (UUID(int=number) for number in range(3))


def listed(*pairs: tuple[UUID, float]) -> list[Candidate]:
    return [Candidate(subject, score) for subject, score in pairs]


def test_at_the_threshold_is_a_match_and_below_is_unknown() -> None:
    at, below = decide([listed((ANN, 0.5)), listed((BOB, 0.49999))], 0.5)
    assert (at.decision, at.best) == ("match", Candidate(ANN, 0.5))
    assert (below.decision, below.best) == ("unknown", None)
    assert below.candidates == (Candidate(BOB, 0.49999),)


def test_a_subject_is_named_once_a_picture_and_the_better_face_gets_it() -> None:
    worse, better = decide([listed((ANN, 0.6), (BOB, 0.3)), listed((ANN, 0.9))], 0.5)
    assert better.best == Candidate(ANN, 0.9)
    assert (worse.decision, worse.best) == ("unknown", None)
    assert worse.candidates[0].subject_id == ANN


def test_the_other_face_gets_its_own_next_match() -> None:
    first, second = decide([listed((ANN, 0.9)), listed((ANN, 0.8), (BOB, 0.7), (CAT, 0.6))], 0.5)
    assert first.best == Candidate(ANN, 0.9)
    assert second.best == Candidate(BOB, 0.7)


def test_no_face_and_no_candidate() -> None:
    assert decide([], 0.5) == ()
    [answer] = decide([[]], -1.0)
    assert (answer.decision, answer.best, answer.candidates) == ("unknown", None, ())


def test_equal_scores_go_to_the_larger_face() -> None:
    first, second = decide([listed((ANN, 0.9)), listed((ANN, 0.9))], 0.5)
    assert first.best is not None
    assert second.best is None


def test_fused_score_is_half_class_mean_half_best_sample() -> None:
    samples = np.eye(4, dtype=np.float32)
    offsets = np.array([0, 1, 4])
    probe = np.array([0.0, 0.6, 0.8, 0.0], np.float32)
    scored = fused_scores(
        probe,
        [ANN, BOB],
        samples,
        offsets,
        np.array([1, 0, -1]),
        np.array([0.2, 0.1, -np.inf], np.float32),
    )
    assert [candidate.subject_id for candidate in scored] == [BOB, ANN]
    np.testing.assert_allclose([c.score for c in scored], [0.5 * 0.2 + 0.5 * 0.8, 0.05], atol=1e-6)


def test_rounding_never_leaves_the_range_of_a_cosine() -> None:
    probe = np.array([1.0], np.float32)
    [candidate] = fused_scores(
        probe,
        [ANN],
        np.array([[1.0000001]], np.float32),
        np.array([0, 1]),
        np.array([0]),
        np.array([1.0000002], np.float32),
    )
    assert candidate.score == 1.0
