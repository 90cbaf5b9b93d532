import numpy as np
import pytest

from benchmarks.measures import auc, ten_fold_accuracy


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
