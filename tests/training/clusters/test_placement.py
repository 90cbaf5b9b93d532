from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.small_stores import unit_rows
from training.clusters.bounded_assignment import nearest_centroids
from training.clusters.cluster import Clustering, cluster_classes, split_at_random
from training.clusters.placement import (
    Placement,
    Votes,
    by_any,
    by_majority,
    by_mean,
    by_share,
    summarise,
)

Ints = NDArray[np.int32]

# Class 0 lies in cluster 1 with its mean in 0; class 1 ties between 2 and 0; class 2 ties between
# 0 and 1 with its mean in 1; class 3 has no sample; class 4 is spread over all.
CLUSTERING = Clustering(np.array([0, 1, 1, 2, 2], np.int32), np.eye(3, dtype=np.float32))
LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 4, 4, 4, 0], np.int32)
SAMPLES = np.array([1, 1, 1, 2, 0, 0, 1, 0, 1, 2, 0], np.int32)


def as_map(placement: Placement) -> dict[int, list[int]]:
    return {label: placement.clusters_of(label).tolist() for label in np.unique(placement.classes)}


def test_the_four_ways_by_hand() -> None:
    votes = Votes.count(LABELS, SAMPLES, CLUSTERING)
    assert as_map(by_mean(CLUSTERING)) == {0: [0], 1: [1], 2: [1], 3: [2], 4: [2]}
    assert as_map(by_majority(votes, CLUSTERING)) == {0: [1], 1: [0], 2: [1], 3: [2], 4: [2]}
    assert as_map(by_any(votes, CLUSTERING)) == {
        0: [0, 1],
        1: [0, 2],
        2: [0, 1],
        3: [2],
        4: [0, 1, 2],
    }
    assert as_map(by_share(votes, CLUSTERING, minimum_share=0.5)) == {
        0: [1],
        1: [0, 2],
        2: [0, 1],
        3: [2],
        4: [2],
    }


def slow_share(labels: Ints, samples: Ints, clustering: Clustering, share: float) -> object:
    placed = {}
    for label, own in enumerate(clustering.clusters.tolist()):
        lie_in = Counter(samples[labels == label].tolist())
        enough = [c for c, n in sorted(lie_in.items()) if n / lie_in.total() >= share]
        placed[label] = enough or [own]
    return placed


def slow_majority(labels: Ints, samples: Ints, clustering: Clustering) -> object:
    placed = {}
    for label, own in enumerate(clustering.clusters.tolist()):
        lie_in = Counter(samples[labels == label].tolist())
        placed[label] = [max([*lie_in, own], key=lambda c: (lie_in[c], c == own, -c))]
    return placed


@pytest.fixture(scope="module")
def sampled() -> tuple[Clustering, Ints, Ints]:
    rng = np.random.default_rng(5)
    means = unit_rows(rng, 300, 8)
    clustering = cluster_classes(means, target_size=60, seed=0)
    labels = rng.integers(0, 300, 1_500).astype(np.int32)
    vectors = means[labels] + 0.3 * rng.standard_normal((1_500, 8)).astype(np.float32)
    return clustering, labels, nearest_centroids(vectors, clustering.centroids)


def test_they_agree_with_one_class_at_a_time(sampled: tuple[Clustering, Ints, Ints]) -> None:
    clustering, labels, samples = sampled
    votes = Votes.count(labels, samples, clustering)
    assert as_map(by_any(votes, clustering)) == slow_share(labels, samples, clustering, 0)
    assert as_map(by_majority(votes, clustering)) == slow_majority(labels, samples, clustering)
    for share in (0.1, 1 / 3, 0.5, 0.7, 1):
        found = by_share(votes, clustering, minimum_share=share)
        assert as_map(found) == slow_share(labels, samples, clustering, share)


def test_clusters_and_classes_are_two_sides(sampled: tuple[Clustering, Ints, Ints]) -> None:
    clustering, labels, samples = sampled
    placement = by_any(Votes.count(labels, samples, clustering), clustering)
    assert placement.holds(labels, samples).all()
    assert placement.sizes().sum() == len(placement.classes) > 300
    for cluster, size in enumerate(placement.sizes()):
        members = placement.classes_in(cluster)
        assert len(members) == size
        assert (np.diff(members) > 0).all()
        assert all(cluster in placement.clusters_of(label) for label in members)


@pytest.mark.parametrize("place", [by_majority, by_any])
def test_the_summary_counts_one_by_one(
    sampled: tuple[Clustering, Ints, Ints], place: Callable[[Votes, Clustering], Placement]
) -> None:
    clustering, labels, samples = sampled
    placement = place(Votes.count(labels, samples, clustering), clustering)
    summary = summarise(placement, labels, samples)
    inside = [c in placement.clusters_of(label) for label, c in zip(labels, samples, strict=True)]
    assert summary.classes == 300
    assert summary.clusters == 5
    assert summary.sizes == tuple(len(placement.classes_in(cluster)) for cluster in range(5))
    assert summary.own_cluster_share == pytest.approx(np.mean(inside))


def test_samples_stay_in_clusters_more_than_in_a_random_split(
    sampled: tuple[Clustering, Ints, Ints],
) -> None:
    clustering, labels, samples = sampled
    means = clustering.centroids[clustering.clusters]
    split = split_at_random(means, count=5)
    there = summarise(by_mean(clustering), labels, samples).own_cluster_share
    by_chance = summarise(by_mean(split), labels, samples).own_cluster_share
    assert there > by_chance + 0.3
