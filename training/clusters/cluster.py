"""Clusters of similar classes: KMeans++ on the sphere, over class means.

The loop is our own because sizes are bounded in every iteration, so that centroids move to where
a crowd had to be cut up. Bounds laid on at the end send its rest to distant clusters: with 80 % of
5,000 classes in one crowd the mean cosine to the centroid was 0.875 this way and 0.822 that way.
faiss's Kmeans can't be bounded and has KMeans++ seeding in its newest releases only;
scikit-learn's is Euclidean, its centroids shrink towards the origin, and it is one more package.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.class_means import unit_means
from training.clusters.bounded_assignment import SizeBounds, assign_within_bounds

TARGET_SIZE = 2_500
"""Classes a cluster: the paper found 2,000 to 3,000 best."""
ITERATIONS = 50
"""At most; 5,000 vectors without any structure settle in about 45, crowded ones in 5 to 20."""
SETTLED = 1e-5
"""Gain of the mean cosine below which another iteration is not worth it."""


@dataclass(frozen=True, eq=False)
class Clustering:
    """N classes, each in one of m clusters."""

    clusters: NDArray[np.int32]
    """(N,) in [0, m)."""
    centroids: Floats
    """(m, d) unit mean of each cluster's class means."""


def cluster_count(classes: int, target_size: int) -> int:
    """The number of clusters whose mean size is nearest to the target; at least one."""
    return max(1, (2 * classes + target_size) // (2 * target_size))


def cluster_classes(
    class_means: Floats, *, target_size: int = TARGET_SIZE, seed: int = 0
) -> Clustering:
    """Put similar classes together.

    Args:
        class_means: (N, d) unit rows, N at least 1.
        target_size: classes a cluster. Below one and a half times that there is one cluster;
            of several, none is larger than that or smaller than a quarter (`SizeBounds`).
        seed: of the first centroids; the same seed and means give the same clusters.

    Raises:
        ValueError: there is no class, or the target is below 1.
    """
    if not len(class_means) or target_size < 1:
        raise ValueError(f"{len(class_means)} classes in clusters of {target_size}")
    count = cluster_count(len(class_means), target_size)
    if count == 1:
        return clustering_of(class_means, np.zeros(len(class_means), np.int32), 1)
    bounds = SizeBounds.around(target_size)
    centroids = first_centroids(class_means, count, np.random.default_rng(seed))
    best = clustering_of(class_means, assign_within_bounds(class_means, centroids, bounds), count)
    fit = mean_cosine(class_means, best)
    for _ in range(ITERATIONS):
        clusters = assign_within_bounds(class_means, best.centroids, bounds)
        moved = clustering_of(class_means, clusters, count)
        # Plain KMeans never gets worse, but a greedy assignment within bounds may.
        gain = mean_cosine(class_means, moved) - fit
        if gain < SETTLED:
            break
        best, fit = moved, fit + gain
    return best


def split_at_random(class_means: Floats, *, count: int, seed: int = 0) -> Clustering:
    """Deal the classes out, as equal in number as can be: what clusters are compared with.

    Args:
        class_means: (N, d) unit rows.
        count: m, in [1, N].
        seed: the same seed gives the same split.
    """
    if not 1 <= count <= len(class_means):
        raise ValueError(f"{len(class_means)} classes in {count} clusters")
    order = np.random.default_rng(seed).permutation(len(class_means))
    clusters = np.empty(len(class_means), np.int32)
    clusters[order] = np.arange(len(class_means)) % count
    return clustering_of(class_means, clusters, count)


def first_centroids(points: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Draw KMeans++ seeds: each next one with probability as its squared distance to the others.

    Args:
        points: (n, d) unit rows.
        count: m.
        rng: draws.

    Returns:
        (m, d), rows of `points`.
    """
    chosen = [int(rng.integers(len(points)))]
    distances = np.full(len(points), np.inf)
    while len(chosen) < count:
        # On the sphere the squared distance is 2 - 2 cos; rounding may bring it below zero.
        latest = np.maximum(1 - points @ points[chosen[-1]], 0)
        distances = np.minimum(distances, latest)
        distances[chosen] = 0
        total = np.cumsum(distances)
        # Copies of the points already chosen are all that is left: any of them will do.
        if total[-1] <= 0:
            chosen.append(int(rng.integers(len(points))))
        else:
            drawn = np.searchsorted(total, rng.uniform(0, total[-1]), side="right")
            chosen.append(int(min(drawn, len(points) - 1)))
    return points[chosen]


def mean_cosine(points: Floats, clustering: Clustering) -> float:
    """Mean cosine of the points to their own centroids, in [-1, 1]; higher is tighter."""
    own = clustering.centroids[clustering.clusters]
    return float(np.einsum("nd,nd->n", points, own).mean(dtype=np.float64))


def clustering_of(class_means: Floats, clusters: NDArray[np.int32], count: int) -> Clustering:
    """The clustering of (N, d) class means into `count` clusters that (N,) `clusters` says."""
    order = np.argsort(clusters, kind="stable")
    offsets = np.searchsorted(clusters[order], np.arange(count + 1))
    return Clustering(clusters, unit_means(class_means[order], offsets))
