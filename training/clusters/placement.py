"""Four ways to say in which clusters a class is, and what each comes to."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from training.clusters.cluster import Clustering


@dataclass(frozen=True, eq=False)
class Placement:
    """Which of m clusters hold each of N classes: E pairs, ordered by class, then cluster."""

    classes: NDArray[np.int32]
    """(E,) every class of [0, N) at least once."""
    clusters: NDArray[np.int32]
    """(E,)"""
    cluster_count: int

    @classmethod
    def of(cls, keys: NDArray[np.int64], cluster_count: int) -> Self:
        """From class * m + cluster, each once, ascending."""
        classes, clusters = np.divmod(keys, cluster_count)
        return cls(classes.astype(np.int32), clusters.astype(np.int32), cluster_count)

    def clusters_of(self, label: int) -> NDArray[np.int32]:
        """Ascending clusters of a class."""
        start, stop = np.searchsorted(self.classes, [label, label + 1])
        return self.clusters[start:stop]

    def classes_in(self, cluster: int) -> NDArray[np.int32]:
        """Ascending classes of a cluster."""
        members: NDArray[np.int32] = self.classes[self.clusters == cluster]
        return members

    def sizes(self) -> NDArray[np.int64]:
        """(m,) classes of each cluster."""
        return np.bincount(self.clusters, minlength=self.cluster_count)

    def holds(self, labels: NDArray[np.int32], clusters: NDArray[np.int32]) -> NDArray[np.bool_]:
        """(n,) whether class and cluster of each pair belong together."""
        keys = _keys(self.classes, self.clusters, self.cluster_count)
        return np.isin(_keys(labels, clusters, self.cluster_count), keys)


@dataclass(frozen=True, eq=False)
class Votes:
    """How many samples of each class lie in each cluster: E pairs with at least one."""

    keys: NDArray[np.int64]
    """(E,) class * m + cluster, ascending."""
    counts: NDArray[np.int64]
    """(E,)"""

    @classmethod
    def count(
        cls,
        labels: NDArray[np.int32],
        sample_clusters: NDArray[np.int32],
        clustering: Clustering,
    ) -> Self:
        """Count them.

        Args:
            labels: (n,) class of each sample.
            sample_clusters: (n,) cluster of each: `nearest_centroids(vectors, centroids)`.
            clustering: of the classes' means.
        """
        keys = _keys(labels, sample_clusters, len(clustering.centroids))
        return cls(*np.unique(keys, return_counts=True))


def by_mean(clustering: Clustering) -> Placement:
    """Each class in the cluster of its mean: one, and the paper's choice."""
    count = len(clustering.centroids)
    return Placement.of(_own_keys(clustering), count)


def by_majority(votes: Votes, clustering: Clustering) -> Placement:
    """Each class in the cluster with most of its samples: one.

    Of equals, the one of its mean, else the lowest; a class without samples, that of its mean.
    """
    count = len(clustering.centroids)
    own = _own_keys(clustering)
    keys, counts = _with_missing(votes, clustering)
    order = np.lexsort((keys, ~np.isin(keys, own), -counts, keys // count))
    _, first = np.unique(keys[order] // count, return_index=True)
    return Placement.of(keys[order][first], count)


def by_any(votes: Votes, clustering: Clustering) -> Placement:
    """Each class in every cluster with any of its samples; without samples, that of its mean."""
    keys, _ = _with_missing(votes, clustering)
    return Placement.of(keys, len(clustering.centroids))


def by_share(votes: Votes, clustering: Clustering, *, minimum_share: float) -> Placement:
    """Each class in every cluster with at least a share of its samples: clusters overlap.

    A class that no cluster holds enough of is in the cluster of its mean.

    Args:
        votes: of the samples.
        clustering: of the classes' means.
        minimum_share: in (0, 1].
    """
    count = len(clustering.centroids)
    totals = np.zeros(len(clustering.clusters), np.int64)
    np.add.at(totals, votes.keys // count, votes.counts)
    enough = votes.counts / totals[votes.keys // count] >= minimum_share
    kept = Votes(votes.keys[enough], votes.counts[enough])
    return Placement.of(_with_missing(kept, clustering)[0], count)


@dataclass(frozen=True)
class Summary:
    """What a placement comes to."""

    classes: int
    clusters: int
    sizes: tuple[int, ...]
    """Classes of each cluster; with overlap they sum to more than `classes`."""
    own_cluster_share: float
    """Share of the samples that lie in a cluster of their own class, in [0, 1]."""


def summarise(
    placement: Placement, labels: NDArray[np.int32], sample_clusters: NDArray[np.int32]
) -> Summary:
    """Sizes, and how often a class's own samples fall into its cluster.

    Args:
        placement: of the classes.
        labels: (n,) class of each sample, n at least 1.
        sample_clusters: (n,) cluster of each sample.
    """
    return Summary(
        classes=int(placement.classes[-1]) + 1,
        clusters=placement.cluster_count,
        sizes=tuple(placement.sizes().tolist()),
        own_cluster_share=float(placement.holds(labels, sample_clusters).mean()),
    )


def _keys(
    classes: NDArray[np.int32], clusters: NDArray[np.int32], cluster_count: int
) -> NDArray[np.int64]:
    return classes.astype(np.int64) * cluster_count + clusters


def _own_keys(clustering: Clustering) -> NDArray[np.int64]:
    classes = np.arange(len(clustering.clusters), dtype=np.int32)
    return _keys(classes, clustering.clusters, len(clustering.centroids))


def _with_missing(
    votes: Votes, clustering: Clustering
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keys and counts, with the cluster of its mean for each class that has no vote."""
    own = _own_keys(clustering)
    count = len(clustering.centroids)
    missing = own[~np.isin(own // count, votes.keys // count)]
    keys = np.concatenate([votes.keys, missing])
    counts = np.concatenate([votes.counts, np.zeros(len(missing), np.int64)])
    order = np.argsort(keys)
    return keys[order], counts[order]
