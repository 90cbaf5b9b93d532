"""Searches of probes in all the ways that are compared, as dense scores over classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.class_means import class_means
from models.pre_selection import VOTERS, vote_shares
from models.runtime import open_session
from training.clusters.placement import Placement
from training.stores.store import EmbeddingStore

BLOCK_SCORES = 2**24
"""Scores in memory at a time, of each kind: 64 MB."""


@dataclass(frozen=True, eq=False)
class Enrolled:
    """N classes as they are enrolled: their samples and what is made of them."""

    classes: NDArray[np.int32]
    """(N,) ascending labels of the store. All that follows counts classes by their place here."""
    samples: Floats
    """(S, d) unit rows, by class."""
    offsets: NDArray[np.int64]
    """(N + 1,) bounds of each class's samples."""
    class_means: Floats
    """(N, d) unit rows."""

    @classmethod
    def of(cls, store: EmbeddingStore, within: NDArray[np.bool_]) -> Self:
        """Enrol the originals among the rows of `within` (n,): classes without one are left out."""
        rows = np.flatnonzero(within & store.originals)
        rows = rows[np.argsort(store.labels[rows], kind="stable")]
        classes, counts = np.unique(store.labels[rows], return_counts=True)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        samples = store.vectors[rows].astype(np.float32)
        return cls(classes.astype(np.int32), samples, offsets, class_means(samples, offsets))

    def places(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """(n,) place of each label of the store; -1 for who is not enrolled."""
        places = np.searchsorted(self.classes, labels).clip(max=len(self.classes) - 1)
        found: NDArray[np.int32] = np.where(self.classes[places] == labels, places, -1).astype(
            np.int32
        )
        return found

    def sample_counts(self) -> NDArray[np.int64]:
        """(N,)"""
        return np.diff(self.offsets)

    def mean_cosines(self, probes: Floats) -> Floats:
        """(n, N) of (n, d) unit probes and the class means."""
        cosines: Floats = probes @ self.class_means.T
        return cosines

    def best_sample_cosines(self, probes: Floats) -> Floats:
        """(n, N) of (n, d) unit probes and the nearest sample of each class."""
        cosines: Floats = np.maximum.reduceat(probes @ self.samples.T, self.offsets[:-1], axis=1)
        return cosines


@dataclass(frozen=True, eq=False)
class Nets:
    """Trained subnets over N classes, opened."""

    placement: Placement
    """Of the N classes in m clusters."""
    sessions: Sequence[Any]
    """m; the k-th answers for `placement.classes_in(k)`."""

    @classmethod
    def open(cls, files: Sequence[Path], placement: Placement) -> Self:
        """Open the nets, one a cluster of the placement, in order."""
        return cls(placement, [open_session(file) for file in files])

    def cosines(self, probes: Floats) -> Floats:
        """(n, E) of (n, d) probes and each pair of class and cluster, as the placement has them."""
        cosines = np.empty((len(probes), len(self.placement.classes)), np.float32)
        for cluster, session in enumerate(self.sessions):
            (outputs,) = session.run(None, {"template": probes})
            cosines[:, self.placement.clusters == cluster] = outputs
        return cosines

    def over_classes(
        self, pair_scores: Floats, searched: NDArray[np.bool_] | None = None
    ) -> Floats:
        """Best score of each class among its clusters.

        Args:
            pair_scores: (n, E), one a pair of class and cluster.
            searched: (n, m) clusters that are looked at; all if None.

        Returns:
            (n, N); -inf for a class that no searched cluster has.
        """
        if searched is not None:
            pair_scores = np.where(searched[:, self.placement.clusters], pair_scores, -np.inf)
        starts = np.flatnonzero(np.diff(self.placement.classes, prepend=-1))
        scores: Floats = np.maximum.reduceat(pair_scores, starts, axis=1)
        return scores

    def of_pairs(self, class_scores: Floats) -> Floats:
        """(n, E): the score of each pair's class, of (n, N)."""
        pairs: Floats = class_scores[:, self.placement.classes]
        return pairs

    def of_clusters(self, cluster_scores: Floats) -> Floats:
        """(n, E): the score of each pair's cluster, of (n, m)."""
        pairs: Floats = cluster_scores[:, self.placement.clusters]
        return pairs

    def shares(self, mean_cosines: Floats) -> Floats:
        """(n, m) share of the vote of each cluster, from (n, N) cosines with all class means."""
        pairs = self.of_pairs(mean_cosines)
        voters = min(VOTERS, pairs.shape[1])
        nearest = np.argpartition(-pairs, voters - 1, axis=1)[:, :voters]
        cosines = np.take_along_axis(pairs, nearest, axis=1)
        return vote_shares(cosines, self.placement.clusters[nearest], len(self.sessions))


@dataclass(frozen=True, eq=False)
class Searches:
    """What n probes were answered."""

    best: NDArray[np.int32]
    """(n,) class with the highest score."""
    scores: Floats
    """(n,) that score."""
    mate_scores: Floats
    """(n,) of the probe's own class; -inf where it was not searched or isn't enrolled."""

    @classmethod
    def of(cls, class_scores: Floats, true: NDArray[np.int32]) -> Self:
        """From (n, N) scores, and (n,) own classes, -1 for strangers."""
        best = class_scores.argmax(axis=1).astype(np.int32)
        own = np.take_along_axis(class_scores, true.clip(min=0)[:, None], axis=1)[:, 0]
        return cls(
            best=best,
            scores=np.take_along_axis(class_scores, best[:, None], axis=1)[:, 0],
            mate_scores=np.where(true >= 0, own, -np.inf).astype(np.float32),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One after the other."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("best", "scores", "mate_scores")
            )
        )


def blocks(probes: int, classes: int) -> list[slice]:
    """Slices of the probes whose scores over so many classes or samples fit into memory."""
    size = max(1, BLOCK_SCORES // max(classes, 1))
    return [slice(start, start + size) for start in range(0, probes, size)]
