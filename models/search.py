"""One probe's search: class means vote for clusters, their subnets run, candidates are scored.

Without a bundle there are no clusters and no subnets: every subject is searched by the same code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.decide import Candidate
from models.fusion import UNTRAINED
from models.half import as_float32
from models.layer import Layer
from models.pre_selection import VOTERS, clusters_to_search, vote_shares
from models.router import IndexKind
from models.trained import Trained

BY_SUBNET = 32
"""Candidates drawn by each subnet's cosines, beside those drawn by class mean."""


@dataclass(frozen=True)
class Routing:
    """Where a probe was searched."""

    clusters: tuple[int, ...]
    """The clusters whose subnets ran, the one with the largest share of the vote first."""
    vote_share: float | None
    """Of these clusters together, in [0, 1]; None without a bundle."""
    index: IndexKind
    """Of the largest layer's index."""


@dataclass(frozen=True)
class Search:
    """What one probe was answered."""

    candidates: tuple[Candidate, ...]
    """Best first."""
    routing: Routing


@dataclass(frozen=True, eq=False)
class Near:
    """Subjects of one layer whose class means lie near to the probe."""

    layer: Layer
    rows: NDArray[np.int64]
    """(K,)"""
    cosines: Floats
    """(K,) of probe and class mean."""

    @cached_property
    def members(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Each of them with each of its clusters: (e,) place in `rows`, and (e,) cluster."""
        assert self.layer.memberships is not None  # noqa: S101  (there is a bundle)
        owners, clusters, _ = self.layer.memberships.of(self.rows)
        return owners, clusters


@dataclass(frozen=True, eq=False)
class _Scored:
    """C candidates of one layer."""

    layer: Layer
    rows: NDArray[np.int64]
    cosines: Floats
    """(C, 3) of subnet, class mean and best sample."""


def search(
    probe: Floats,
    quality: float,
    near: Sequence[Near],
    trained: Trained | None,
    count: int,
    *,
    left_out: Sequence[int | None],
) -> Search:
    """Find the best candidates of a probe.

    Args:
        probe: (d,) unit template.
        quality: of its picture, in [0, 1].
        near: of each layer, subjects near to the probe, none of those that are left out. The
            first layer is the bundle's, if there is one.
        trained: the bundle; None: there is none.
        count: candidates at most.
        left_out: of each layer, the row that must not be found either.
    """
    kind = max(near, key=lambda each: len(each.layer)).layer.index.kind
    if trained is None:
        routing = Routing((), None, kind)
        scored = [_by_class_mean(each, probe) for each in near]
    else:
        clusters, share = vote(near, trained)
        routing = Routing(tuple(clusters), share, kind)
        outputs = trained.outputs(clusters, probe)
        first, *live = near
        scored = [
            _by_subnets(first, probe, outputs, trained, left_out[0]),
            *(_by_class_mean(_within(each, clusters), probe) for each in live if len(each.rows)),
        ]
    fusion = UNTRAINED if trained is None else trained.fusion
    cosines = np.concatenate([each.cosines for each in scored])
    rows = np.concatenate([each.rows for each in scored])
    owners = np.repeat(np.arange(len(scored)), [len(each.rows) for each in scored])
    counts = np.concatenate(
        [each.layer.offsets[each.rows + 1] - each.layer.offsets[each.rows] for each in scored]
    )
    # Rounding can give 1.0000001, which is no cosine.
    scores = fusion.scores(cosines[None], counts, np.array([quality], np.float32))[0].clip(-1, 1)
    candidates = []
    for place in np.argsort(-scores, kind="stable")[:count].tolist():
        layer = scored[owners[place]].layer
        candidates.append(
            Candidate(
                layer.subjects.id_of(int(rows[place])),
                float(scores[place]),
                "bundle" if trained is not None and layer is near[0].layer else "live",
                int(counts[place]),
            )
        )
    return Search(tuple(candidates), routing)


def vote(near: Sequence[Near], trained: Trained) -> tuple[list[int], float]:
    """Let the class means nearest to a probe vote for clusters.

    Returns:
        The clusters that are to be searched, the leading one first, and their share of the vote.
        None where nobody is near.
    """
    clusters, cosines = [], []
    for each in near:
        if not len(each.rows):
            continue
        owners, theirs = each.members
        clusters.append(theirs)
        cosines.append(each.cosines[owners])
    if not clusters:
        return [], 0.0
    voting, heard = np.concatenate(clusters), np.concatenate(cosines)
    nearest = np.argsort(-heard, kind="stable")[:VOTERS]
    # Of thousands of clusters no more get a vote than there are voters.
    named, places = np.unique(voting[nearest], return_inverse=True)
    shares = vote_shares(heard[None, nearest], places[None], len(named))
    searched = np.flatnonzero(clusters_to_search(shares, trained.fusion.needed_share)[0])
    order = searched[np.argsort(-shares[0, searched], kind="stable")]
    return named[order].tolist(), float(shares[0, order].sum())


def _within(near: Near, clusters: Sequence[int]) -> Near:
    """Those that are in one of some clusters."""
    owners, theirs = near.members
    kept = np.zeros(len(near.rows), np.bool_)
    kept[owners[(theirs[:, None] == np.array(clusters, np.int32)).any(axis=1)]] = True
    return Near(near.layer, near.rows[kept], near.cosines[kept])


def _by_class_mean(near: Near, probe: Floats) -> _Scored:
    """Score subjects without a trained weight: their class mean stands in for it."""
    best = near.layer.best_samples(probe, near.rows)
    return _Scored(near.layer, near.rows, np.stack([near.cosines, near.cosines, best], axis=1))


def _by_subnets(
    near: Near, probe: Floats, outputs: dict[int, Floats], trained: Trained, left_out: int | None
) -> _Scored:
    """Score trained subjects, drawn by class mean or by the cosines of a subnet."""
    layer, bundle = near.layer, trained.bundle
    drawn: list[NDArray[np.integer]] = [_within(near, list(outputs)).rows]
    for cluster, cosines in outputs.items():
        classes = bundle.subnet_classes(cluster)
        admitted = cosines
        # A subnet goes on answering for people who are gone.
        if left_out is not None:
            admitted = np.where(classes == left_out, -np.inf, admitted)
        if layer.passed_over is not None:
            admitted = np.where(layer.passed_over.mask[classes], -np.inf, admitted)
        places = _most_alike(admitted)
        drawn.append(classes[places[admitted[places] > -np.inf]])
    rows = np.unique(np.concatenate(drawn, dtype=np.int64))
    assert layer.memberships is not None  # noqa: S101  (there is a bundle)
    owners, clusters, columns = layer.memberships.of(rows)
    by_subnet = np.full(len(rows), -np.inf, np.float32)
    for cluster, cosines in outputs.items():
        own = clusters == cluster
        np.maximum.at(by_subnet, owners[own], cosines[columns[own]])
    by_mean = as_float32(layer.index.means[rows]) @ probe
    best = layer.best_samples(probe, rows)
    return _Scored(layer, rows, np.stack([by_subnet, by_mean, best], axis=1))


def _most_alike(cosines: Floats) -> NDArray[np.int64]:
    """Places of the `BY_SUBNET` highest cosines, in any order."""
    if len(cosines) <= BY_SUBNET:
        return np.arange(len(cosines))
    places: NDArray[np.int64] = np.argpartition(cosines, -BY_SUBNET)[-BY_SUBNET:]
    return places
