"""How often a probe's own cluster is found, by what represents a cluster: the first table."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from training.clusters.bounded_assignment import nearest_centroids
from training.clusters.cluster import Clustering
from training.searching.probes import Probes
from training.searching.search import Enrolled, Nets, blocks

CLUSTER_MEAN, MAX_MAX, NEAREST_MEAN = "cluster mean", "max-max", "nearest class mean"


def found_shares(
    probes: Probes, enrolled: Enrolled, nets: Nets, clustering: Clustering
) -> dict[str, float]:
    """Share of probes whose cluster is found, by each representative.

    Args:
        probes: of enrolled classes, at least one.
        enrolled: the classes.
        nets: each class in one cluster.
        clustering: of the classes.
    """
    own = clustering.clusters[probes.true]
    right: dict[str, list[NDArray[np.bool_]]] = {}
    for block in blocks(len(probes), len(enrolled.classes)):
        for name, found in _found(probes[block], enrolled, nets, clustering):
            right.setdefault(name, []).append(found == own[block])
    return {name: float(np.concatenate(parts).mean()) for name, parts in right.items()}


def _found(
    probes: Probes, enrolled: Enrolled, nets: Nets, clustering: Clustering
) -> Iterator[tuple[str, NDArray[np.int32]]]:
    yield CLUSTER_MEAN, nearest_centroids(probes.templates, clustering.centroids)
    best = nets.over_classes(nets.cosines(probes.templates)).argmax(axis=1)
    yield MAX_MAX, clustering.clusters[best]
    nearest = enrolled.mean_cosines(probes.templates).argmax(axis=1)
    yield NEAREST_MEAN, clustering.clusters[nearest]
