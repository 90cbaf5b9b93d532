import numpy as np
import pytest

from benchmarks.measures import auc, fnir, ten_fold_accuracy, threshold_at_fpir


def test_threshold_lets_the_asked_share_pass_and_no_more() -> None:
    scores = np.random.default_rng(0).normal(size=1_000)
    for fpir in (0.1, 0.03, 0.01, 0.001):
        threshold = threshold_at_fpir(scores, fpir)
        assert np.mean(scores >= threshold) == pytest.approx(fpir)


def test_ties_at_the_threshold_never_exceed_the_share() -> None:
    assert np.mean(np.ones(100) >= threshold_at_fpir(np.ones(100), 0.05)) == 0


def test_fnir_counts_low_outranked_and_unlisted_mates() -> None:
    scores = np.array([0.9, 0.9, 0.4, -np.inf])
    ranks = np.array([1, 2, 1, 0])
    assert fnir(scores, ranks, 0.5) == 0.75
    assert fnir(scores, ranks, 0.3) == 0.5


def test_ten_fold_accuracy_agrees_with_trying_every_threshold() -> None:
    rng = np.random.default_rng(1)
    mated = np.tile([True, False], 100)
    scores = np.round(rng.normal(mated * 1.5, 1.0), 1)
    folds = np.repeat(np.arange(10), 20)
    slow = []
    for fold in range(10):
        others, held_out = folds != fold, folds == fold
        tried = {
            threshold: np.mean((scores[others] >= threshold) == mated[others])
            for threshold in np.unique(scores)
        }
        best = max(tried, key=lambda threshold: (tried[threshold], -threshold))
        slow.append(np.mean((scores[held_out] >= best) == mated[held_out]))
    np.testing.assert_allclose(ten_fold_accuracy(scores, mated, folds), slow)


def test_auc_agrees_with_comparing_every_couple() -> None:
    rng = np.random.default_rng(2)
    mated = np.tile([True, False], 30)
    scores = np.round(rng.normal(mated, 1.0), 1)
    couples = [(m > n) + 0.5 * (m == n) for m in scores[mated] for n in scores[~mated]]
    assert auc(scores, mated) == pytest.approx(np.mean(couples))
