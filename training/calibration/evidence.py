"""What calibration goes by: held-out probes with the candidates that may win."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.fusion import Fusion
from models.pre_selection import MOST_CLUSTERS, reached, share_before
from training.searching.probes import Probes
from training.searching.search import Enrolled, Nets, blocks

CANDIDATES = 32
"""Of each probe, the mate and those of clusters that may be searched who are most alike by any of
the three cosines: a fused score lies between the three."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """n probes with C candidates each, the mate first.

    Without the mate, what is left of a probe is a non-mated search: a subject that is searched
    for among everybody else is a stranger there. The mate must not vote either. It leads the vote
    so clearly that one cluster is searched, where a stranger's close vote opens three: with its
    vote, twice as many strangers passed as were asked for.
    """

    cosines: Floats
    """(n, C, 3) of subnet, class mean and best sample."""
    share_before: Floats
    """(n, C) share of the vote that clusters ahead of the candidate's hold; inf if there are
    too many of them."""
    share_before_without: Floats
    """(n, C) the same in a vote without the mate."""
    ahead: Floats
    """(n, `MOST_CLUSTERS`) share of the vote ahead of the first, second, ... cluster; ascending
    from 0, inf where there are not so many."""
    sample_counts: NDArray[np.int64]
    """(n, C)"""
    quality: Floats
    """(n,) of the probes, in [0, 1]."""

    @classmethod
    def of(cls, enrolled: Enrolled, nets: Nets, probes: Probes) -> Self:
        """Search probes of enrolled subjects.

        Args:
            enrolled: N classes, at least 3.
            nets: their subnets.
            probes: n of them, each of an enrolled class.
        """
        parts = [
            cls._of_block(enrolled, nets, probes[block])
            for block in blocks(len(probes), len(enrolled.samples))
        ]
        return cls.joined(parts)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One after the other."""
        columns = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    @classmethod
    def _of_block(cls, enrolled: Enrolled, nets: Nets, probes: Probes) -> Self:
        means = enrolled.mean_cosines(probes.templates)
        cosines = np.stack(
            [
                nets.over_classes(nets.cosines(probes.templates)),
                means,
                enrolled.best_sample_cosines(probes.templates),
            ],
            axis=2,
        )
        mate = probes.true[:, None]
        shares = nets.shares(means)
        before = _share_before_classes(nets, shares)
        np.put_along_axis(means, mate, -np.inf, axis=1)
        without = _share_before_classes(nets, nets.shares(means))
        searchable = np.isfinite(before) | np.isfinite(without)
        appeal = np.where(searchable, cosines.max(axis=2), -np.inf)
        np.put_along_axis(appeal, mate, np.inf, axis=1)
        candidates = _highest(appeal, CANDIDATES)
        return cls(
            cosines=np.take_along_axis(cosines, candidates[:, :, None], axis=1),
            share_before=np.take_along_axis(before, candidates, axis=1),
            share_before_without=np.take_along_axis(without, candidates, axis=1),
            ahead=_ahead(shares),
            sample_counts=enrolled.sample_counts()[candidates],
            quality=probes.quality,
        )

    def __len__(self) -> int:
        """Count the probes."""
        return len(self.quality)

    def where(self, chosen: NDArray[np.bool_]) -> "Evidence":
        """Of some of the probes, (n,)."""
        return Evidence(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def everywhere(self) -> "Evidence":
        """As if all clusters were searched for every probe."""
        anywhere = np.zeros_like(self.share_before)
        return replace(self, share_before=anywhere, share_before_without=anywhere)

    def searched(self, needed_share: float) -> NDArray[np.bool_]:
        """(n, C) whether a candidate's cluster is searched."""
        return reached(self.share_before, needed_share)

    def scores(self, fusion: Fusion) -> Floats:
        """(n, C) fused, of the mated searches; -inf for who isn't searched."""
        return self._scores(fusion, self.searched(fusion.needed_share))

    def scores_without(self, fusion: Fusion) -> Floats:
        """(n, C) fused, of the searches without the mate, which has -inf, as who isn't searched."""
        searched = reached(self.share_before_without, fusion.needed_share)
        searched[:, 0] = False
        return self._scores(fusion, searched)

    def clusters_searched(self, needed_share: float) -> NDArray[np.int64]:
        """(n,) how many clusters are searched for each probe."""
        return np.asarray(reached(self.ahead, needed_share).sum(axis=1), np.int64)

    def _scores(self, fusion: Fusion, searched: NDArray[np.bool_]) -> Floats:
        cosines = np.where(searched[:, :, None], self.cosines, -np.inf)
        return fusion.scores(cosines, self.sample_counts, self.quality)


def _highest(appeal: Floats, count: int) -> NDArray[np.int64]:
    """(n, count) columns with the highest values of each row of (n, N), descending."""
    count = min(count, appeal.shape[1])
    columns = np.argpartition(-appeal, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(appeal, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def _share_before_classes(nets: Nets, shares: Floats) -> Floats:
    """(n, N): of the cluster of each class that is searched first, from (n, m) shares."""
    before = share_before(shares)
    return -nets.over_classes(-nets.of_clusters(before))


def _ahead(shares: Floats) -> Floats:
    """(n, `MOST_CLUSTERS`) ascending, of (n, m) shares."""
    ahead = np.full((len(shares), MOST_CLUSTERS), np.inf, np.float32)
    count = min(shares.shape[1], MOST_CLUSTERS)
    ahead[:, :count] = np.sort(share_before(shares), axis=1)[:, :count]
    return ahead
