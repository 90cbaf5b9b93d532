"""The four ways to place classes in clusters side by side, and what each comes to."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.clusters.bounded_assignment import nearest_centroids
from training.clusters.cluster import Clustering
from training.clusters.placement import (
    Placement,
    Votes,
    by_any,
    by_majority,
    by_mean,
    by_share,
    summarise,
)
from training.stores.store import BLOCK_ROWS, EmbeddingStore


class Ways:
    """The placements of one clustering, from the samples that it was made from."""

    def __init__(
        self,
        store: EmbeddingStore,
        within: NDArray[np.bool_],
        clustering: Clustering,
        *,
        classes: NDArray[np.int32],
        minimum_share: float,
    ) -> None:
        """Place each class in all four ways.

        Args:
            store: n rows.
            within: (n,) rows of which the originals count as samples.
            clustering: of the class means of `classes`.
            classes: (N,) ascending labels of the store that are placed; the k-th becomes k.
            minimum_share: of a class's samples, for the way `share`.
        """
        rows = np.flatnonzero(within & store.originals & np.isin(store.labels, classes))
        self._labels = np.searchsorted(classes, store.labels[rows]).astype(np.int32)
        self._sample_clusters = np.concatenate(
            [
                nearest_centroids(store.vectors[block], clustering.centroids)
                for block in np.split(rows, range(BLOCK_ROWS, len(rows), BLOCK_ROWS))
            ]
        )
        votes = Votes.count(self._labels, self._sample_clusters, clustering)
        self.placements: dict[str, Placement] = {
            "mean": by_mean(clustering),
            "majority": by_majority(votes, clustering),
            "any": by_any(votes, clustering),
            "share": by_share(votes, clustering, minimum_share=minimum_share),
        }

    def summary(self, chosen: str) -> dict[str, Any]:
        """Sizes of one placement, and what all of them come to, in JSON's types."""
        each = {
            name: summarise(placement, self._labels, self._sample_clusters)
            for name, placement in self.placements.items()
        }
        return {
            "count": each[chosen].clusters,
            "placement": chosen,
            "sizes": list(each[chosen].sizes),
            "own_cluster_share": {name: one.own_cluster_share for name, one in each.items()},
            "mean_clusters_a_class": {
                name: len(placement.classes) / each[name].classes
                for name, placement in self.placements.items()
            },
        }
