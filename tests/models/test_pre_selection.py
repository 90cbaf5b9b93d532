import numpy as np
import pytest

from models.pre_selection import (
    MOST_CLUSTERS,
    SHARPNESS,
    clusters_to_search,
    share_before,
    vote_shares,
)


def test_shares_agree_with_one_voter_at_a_time() -> None:
    rng = np.random.default_rng(0)
    cosines = rng.uniform(-1, 1, (20, 6)).astype(np.float32)
    cosines[3, 2:] = -np.inf
    clusters = rng.integers(0, 4, (20, 6))
    slow = np.zeros((20, 4))
    for probe in range(20):
        for cosine, cluster in zip(cosines[probe], clusters[probe], strict=True):
            slow[probe, cluster] += np.exp(SHARPNESS * cosine)
        slow[probe, clusters[probe, cosines[probe].argmax()]] = slow[probe].max()
        slow[probe] /= slow[probe].sum()
    np.testing.assert_allclose(vote_shares(cosines, clusters, 4), slow, rtol=1e-5, atol=1e-9)


def test_the_cluster_of_the_nearest_class_mean_leads_though_many_others_outvote_it() -> None:
    cosines = np.array([[0.64, 0.7, 0.65, 0.66, 0.65]], np.float32)
    clusters = np.array([[2, 1, 2, 2, 0]])
    shares = vote_shares(cosines, clusters, 3)
    assert clusters_to_search(shares, 0).tolist() == [[False, True, False]]
    assert shares[0, 1] == pytest.approx(shares[0, 2], rel=1e-5)
    assert shares.sum() == pytest.approx(1)


def test_of_the_clusters_of_one_class_the_one_with_more_votes_leads() -> None:
    cosines = np.array([[0.7, 0.7, 0.6, 0.69, 0.69]], np.float32)
    shares = vote_shares(cosines, np.array([[0, 1, 1, 2, 2]]), 3)
    assert clusters_to_search(shares, 0).tolist() == [[False, True, False]]


def test_a_clear_vote_needs_one_cluster_and_a_close_one_more() -> None:
    shares = np.array([[0.02, 0.97, 0.01, 0], [0.5, 0.3, 0.15, 0.05]], np.float32)
    assert clusters_to_search(shares, 0).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]
    assert clusters_to_search(shares, 0.6).tolist() == [[0, 1, 0, 0], [1, 1, 0, 0]]
    assert clusters_to_search(shares, 0.9).tolist() == [[0, 1, 0, 0], [1, 1, 1, 0]]


@pytest.mark.parametrize("clusters", [1, 2, 8])
def test_never_more_than_the_most_and_never_none(clusters: int) -> None:
    chosen = clusters_to_search(np.full((3, clusters), 1 / clusters, np.float32), 1.0)
    assert chosen.sum(axis=1).tolist() == [min(clusters, MOST_CLUSTERS)] * 3


def test_share_before_by_hand() -> None:
    shares = np.array([[0.1, 0.5, 0.05, 0.35]], np.float32)
    np.testing.assert_allclose(share_before(shares), [[0.85, 0, np.inf, 0.5]], rtol=1e-6)
    assert share_before(np.ones((2, 1), np.float32)).tolist() == [[0], [0]]
