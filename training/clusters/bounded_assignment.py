"""Nearest centroids, with as few and as cheap exceptions as sizes within bounds need."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats

BLOCK_ROWS = 65_536
"""Rows compared with all centroids at a time."""


@dataclass(frozen=True)
class SizeBounds:
    """Fewest and most classes of one cluster."""

    smallest: int
    largest: int

    @classmethod
    def around(cls, target_size: int) -> Self:
        """A quarter to one and a half times the target.

        Below, a subnet has too few classes to be worth a file and a task; above, it is the
        slowest task and the largest memory, which the clusters were made to bound.
        """
        return cls(smallest=-(-target_size // 4), largest=target_size * 3 // 2)


def nearest_centroids(vectors: NDArray[np.floating[Any]], centroids: Floats) -> NDArray[np.int32]:
    """The centroid of the highest cosine; the first one of equals.

    Args:
        vectors: (n, d) unit rows of any float type, a memory map say.
        centroids: (m, d) unit rows.

    Returns:
        (n,) in [0, m).
    """
    nearest = np.empty(len(vectors), np.int32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        block = np.asarray(vectors[start : start + BLOCK_ROWS], np.float32)
        nearest[start : start + BLOCK_ROWS] = (block @ centroids.T).argmax(axis=1)
    return nearest


def assign_within_bounds(
    points: Floats, centroids: Floats, bounds: SizeBounds
) -> NDArray[np.int32]:
    """Assign each point to its nearest centroid, then move the cheapest until sizes fit.

    The cost of a move is the cosine that is lost by it. Clusters above the largest size, the
    fullest first, hand on their cheapest points, each to the nearest cluster with room; then
    those below the smallest size, the emptiest first, take the cheapest from clusters that can
    spare one. Ties go to the lower number, so the result is determined.

    Args:
        points: (n, d) unit rows.
        centroids: (m, d) unit rows, with m * smallest <= n <= m * largest.
        bounds: of the sizes.

    Returns:
        (n,) in [0, m).
    """
    count = len(centroids)
    if not count * bounds.smallest <= len(points) <= count * bounds.largest:
        raise ValueError(f"{len(points)} points do not fit into {count} clusters of {bounds}")
    clusters = nearest_centroids(points, centroids)
    cosines = np.einsum("nd,nd->n", points, centroids[clusters])
    sizes = np.bincount(clusters, minlength=count)
    for full in np.argsort(-sizes, kind="stable"):
        if sizes[full] > bounds.largest:
            _hand_on(points, centroids, clusters, cosines, sizes, full, bounds.largest)
    for poor in np.argsort(sizes, kind="stable"):
        if sizes[poor] < bounds.smallest:
            _fill_up(points, centroids, clusters, cosines, sizes, poor, bounds.smallest)
    return clusters


def _hand_on(
    points: Floats,
    centroids: Floats,
    clusters: NDArray[np.int32],
    cosines: Floats,
    sizes: NDArray[np.int64],
    full: np.int64,
    largest: int,
) -> None:
    """Bring cluster `full` down to the largest size; `clusters`, `cosines`, `sizes` follow."""
    members = np.flatnonzero(clusters == full)
    offers = points[members] @ centroids.T
    while sizes[full] > largest:
        offers[:, sizes >= largest] = -np.inf
        targets = offers.argmax(axis=1)
        best = offers[np.arange(len(members)), targets]
        order = np.argsort(cosines[members] - best, kind="stable")[: sizes[full] - largest]
        # Up to the first one whose target is full by then: it has to look for another one.
        fits = _within_quota(targets[order], largest - sizes)
        order = order[: len(order) if fits.all() else int(fits.argmin())]
        clusters[members[order]] = targets[order]
        cosines[members[order]] = best[order]
        np.add.at(sizes, targets[order], 1)
        sizes[full] -= len(order)
        members, offers = np.delete(members, order), np.delete(offers, order, axis=0)


def _fill_up(
    points: Floats,
    centroids: Floats,
    clusters: NDArray[np.int32],
    cosines: Floats,
    sizes: NDArray[np.int64],
    poor: np.int64,
    smallest: int,
) -> None:
    """Bring cluster `poor` up to the smallest size; `clusters`, `cosines`, `sizes` follow."""
    spare = np.flatnonzero(sizes[clusters] > smallest)
    offers = points[spare] @ centroids[poor]
    order = np.argsort(cosines[spare] - offers, kind="stable")
    order = order[_within_quota(clusters[spare[order]], sizes - smallest)]
    order = order[: smallest - sizes[poor]]
    moved = spare[order]
    np.subtract.at(sizes, clusters[moved], 1)
    clusters[moved], cosines[moved] = poor, offers[order]
    sizes[poor] += len(moved)


def _within_quota(groups: NDArray[Any], quota: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each entry is among the first `quota[group]` of its group: (k,) for (k,) groups."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    ranks = np.empty(len(groups), np.int64)
    ranks[order] = np.arange(len(groups)) - np.searchsorted(ordered, ordered)
    within: NDArray[np.bool_] = ranks < quota[groups]
    return within
