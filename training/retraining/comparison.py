"""A new bundle against the active one: the serving code on the same held-out probes.

Probes are the originals of the test split and their degraded copies, which neither bundle was
trained with: a picture's role depends on its subject's pictures alone (`Split`), and the new bundle
goes by the active one's seed. Two edges are left. A subject that has lost pictures may have one
moved into the test split that the active bundle was trained with; there it is live, and its trained
weight no longer counts. And a subject that has become several times as many pictures may have one
in the test split that a subnet kept by the new bundle was trained with; where the active one has
that subnet, too, it favours both.

Class means of a bundle are of all pictures, those of the test split too. Here they are made anew
without these, and so are live subjects: as if the test pictures had never been enrolled.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.bundle import Bundle
from models.class_means import class_means
from models.gallery import Gallery
from models.router import ClassMeanIndex
from models.trained import Trained
from training.searching.open_set import fnir, threshold_at_fpir
from training.split import Split
from training.stores.format import Kind
from training.stores.store import EmbeddingStore

MOST_PROBES = 10_000
"""Of either kind: the standard error of a share of 1 % is 0.1 points, less for a difference
between two bundles, which are given the same probes."""
LISTED = 16
"""Candidates among which the mate is looked for."""
BLOCK_PROBES = 256
FPIR = 0.01
CURVE = (0.003, 0.01, 0.03, 0.1, 0.3)
"""FPIRs of the report's curve."""
SUBNET_MEMORY = 2**30
"""Bytes of opened subnets, which are memory-mapped."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Enrolled:
    """All pictures but the test split's, as they would be enrolled."""

    subject_ids: tuple[UUID, ...]
    """N"""
    owners: NDArray[np.int64]
    """(S,) place of each sample's subject, ascending."""
    samples: Floats
    """(S, d)"""

    @classmethod
    def of(cls, store: EmbeddingStore, split: Split) -> "Enrolled":
        """From a store whose subjects' ids are UUIDs."""
        rows = np.flatnonzero(store.originals & ~split.test)
        rows = rows[np.argsort(store.labels[rows], kind="stable")]
        return cls(
            tuple(UUID(subject) for subject in store.subject_ids),
            store.labels[rows].astype(np.int64),
            store.vectors[rows].astype(np.float32),
        )

    def class_means(self) -> Floats:
        """(N, d) unit rows, as serving makes them."""
        offsets = np.searchsorted(self.owners, np.arange(len(self.subject_ids) + 1))
        return class_means(self.samples, offsets)

    def gallery(self, trained: Trained | None, changed: Collection[UUID]) -> Gallery:
        """As the service would have it with a bundle, or with none."""
        return Gallery.build(
            self.subject_ids,
            self.owners,
            self.samples,
            dimension=self.samples.shape[1],
            revision=0,
            trained=trained,
            changed=changed,
        )


@dataclass(frozen=True, eq=False)
class Searched:
    """What n probes were answered."""

    ranks: NDArray[np.int64]
    """(n,) of the mate, from 1; 0 where it was not listed."""
    mate_scores: NDArray[np.float64]
    """(n,) -inf where it was not listed."""
    stranger_scores: NDArray[np.float64]
    """(n,) best score without the mate: of a non-mated search."""
    clusters: NDArray[np.int64]
    """(n,) subnets run for the mated search."""

    def figures(self, cluster_count: int) -> dict[str, Any]:
        """Shares in [0, 1]: `rank1`, `fnir_at_fpir_0_01`, `penetration` and the curve's FNIRs."""
        return {
            "rank1": float(np.mean(self.ranks == 1)),
            "fnir_at_fpir_0_01": self._fnir_at(FPIR),
            # Without a bundle everybody is compared.
            "penetration": float(self.clusters.mean() / cluster_count) if cluster_count else 1.0,
            "fnir": {str(fpir): self._fnir_at(fpir) for fpir in CURVE},
        }

    def _fnir_at(self, fpir: float) -> float:
        threshold = threshold_at_fpir(self.stranger_scores, fpir)
        return fnir(self.mate_scores, self.ranks, threshold)


def compare(
    store: EmbeddingStore,
    split: Split,
    new: Bundle,
    active: Bundle | None,
    changed: Collection[UUID],
    progress: Progress,
) -> dict[str, Any]:
    """Search for the held-out probes with the new bundle, and with what is served without it.

    Args:
        store: that the new bundle was made from.
        split: of its rows.
        new: the new bundle.
        active: the active one; None: class means and best samples are what it is compared with.
        changed: subjects whose templates have changed since the active one's watermark: they are
            live with it.
        progress: told of searches.

    Returns:
        In JSON's types: `probes`, `baseline` ("bundle" or "class means"), and `new` and `active`
        as `Searched.figures`; with no probes these two are None.
    """
    baseline = "class means" if active is None else "bundle"
    rows = probe_rows(store, split)
    if not len(rows):
        return {"probes": 0, "baseline": baseline, "new": None, "active": None}
    enrolled = Enrolled.of(store, split)
    means = enrolled.class_means()
    sides: list[tuple[Bundle | None, Collection[UUID]]] = [(new, ()), (active, changed)]
    figures = []
    for place, (bundle, live) in enumerate(sides):
        trained = None if bundle is None else _without_tests(bundle, store.subject_ids, means)
        gallery = enrolled.gallery(trained, live if bundle is not None else ())
        searched = _search(
            store, rows, enrolled, gallery, partial(_told, progress, place, len(rows))
        )
        figures.append(searched.figures(0 if bundle is None else bundle.cluster_count))
    return {"probes": len(rows), "baseline": baseline, "new": figures[0], "active": figures[1]}


def _told(progress: Progress, place: int, probes: int, done: int) -> None:
    progress(place * probes + done, 2 * probes)


def probe_rows(store: EmbeddingStore, split: Split) -> NDArray[np.int64]:
    """Rows of the test split's originals and of their degraded copies, `MOST_PROBES` of each."""
    originals = np.flatnonzero(split.test & store.originals)
    copies = np.flatnonzero(
        (store.kinds == Kind.DEGRADED) & np.isin(store.sources, store.sources[originals])
    )
    return np.concatenate([_spread(originals), _spread(copies)])


def _spread(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    if len(rows) <= MOST_PROBES:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MOST_PROBES).astype(np.int64)]


def _without_tests(bundle: Bundle, subject_ids: tuple[str, ...], means: Floats) -> Trained:
    """The bundle with the (N, d) class means of some subjects in the place of its own."""
    table = np.array(bundle.class_means)
    rows = bundle.rows_of(subject_ids)
    table[rows[rows >= 0]] = means[rows >= 0].astype(np.float16)
    return Trained.of(
        replace(bundle, class_means=table, index=ClassMeanIndex.build(table, like=bundle.index)),
        memory_limit_bytes=SUBNET_MEMORY,
    )


def _search(
    store: EmbeddingStore,
    rows: NDArray[np.int64],
    enrolled: Enrolled,
    gallery: Gallery,
    progress: Callable[[int], None],
) -> Searched:
    ranks, clusters = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    mates, strangers = np.full(len(rows), -np.inf), np.full(len(rows), -np.inf)
    for start in range(0, len(rows), BLOCK_PROBES):
        block = rows[start : start + BLOCK_PROBES]
        probes, quality = store.vectors[block].astype(np.float32), np.asarray(store.quality[block])
        own = [enrolled.subject_ids[label] for label in store.labels[block]]
        mated = gallery.search(probes, quality, LISTED)
        without = gallery.search(probes, quality, 1, without=own)
        for place, (subject, with_mate, others) in enumerate(
            zip(own, mated, without, strict=True), start
        ):
            clusters[place] = len(with_mate.routing.clusters)
            for rank, candidate in enumerate(with_mate.candidates, 1):
                if candidate.subject_id == subject:
                    ranks[place], mates[place] = rank, candidate.score
            if others.candidates:
                strangers[place] = others.candidates[0].score
        progress(min(start + BLOCK_PROBES, len(rows)))
    return Searched(ranks, mates, strangers, clusters)
