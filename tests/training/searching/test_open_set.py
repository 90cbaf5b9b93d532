import numpy as np
import pytest

from training.searching.open_set import fnir, threshold_at_fpir


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
