"""Pre-selection: the class means nearest to a probe vote for the clusters that are searched.

The paper takes the cluster of the nearest class mean. A wrong cluster is the largest error left
then, and it happens where the vote is close; so there more clusters are searched. That of the
nearest class mean always leads: among a million classes the many a little further off would
outvote it for 7 % of hard probes, and who is nearest must not be missed.
"""

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats

VOTERS = 32
"""Class means that vote; the weight of those further off is next to nothing."""
SHARPNESS = 20.0
"""A class mean that is 0.05 less alike than the nearest weighs e times less: on clean pictures the
mate's mean is ahead by some 0.3, so that the others hardly count."""
LEAD = np.float32(1.000_001)
"""By how much the share of the nearest class mean's cluster is above all others, at least."""
MOST_CLUSTERS = 3
"""That are searched, however close the vote: a fourth gained nothing on any kind of probe."""


def vote_shares(cosines: Floats, clusters: NDArray[np.integer], cluster_count: int) -> Floats:
    """Share of the vote of each cluster; that of the nearest voter is raised to the largest.

    Args:
        cosines: (n, K) of each probe with the voters, in any order; -inf for none. K is at least 1.
        clusters: (n, K) cluster of each voter. A class that is in several votes for each.
        cluster_count: m.

    Returns:
        (n, m) shares that sum to 1; higher is more likely.
    """
    highest = cosines.max(axis=1, keepdims=True)
    weights = np.exp(SHARPNESS * (cosines - highest))
    shares = np.zeros((len(cosines), cluster_count), np.float32)
    probes = np.arange(len(cosines))
    np.add.at(shares, (probes[:, None], clusters), weights)
    # The nearest class may be in several clusters: the largest of those leads.
    voted = np.where(cosines == highest, shares[probes[:, None], clusters], -1)
    nearest = clusters[probes, voted.argmax(axis=1)]
    shares[probes, nearest] = LEAD * shares.max(axis=1)
    whole: Floats = shares / shares.sum(axis=1, keepdims=True)
    return whole


def clusters_to_search(shares: Floats, needed: float) -> NDArray[np.bool_]:
    """Choose the clusters that together hold enough of the vote.

    Args:
        shares: (n, m) from `vote_shares`.
        needed: share of the vote, in [0, 1], from which on no further cluster is added; 0 gives
            one cluster always.

    Returns:
        (n, m) whether each is searched: 1 to `MOST_CLUSTERS` of each row, the leading ones.
    """
    return reached(share_before(shares), needed)


def share_before(shares: Floats) -> Floats:
    """(n, m) share of the vote of all clusters ahead of each, of (n, m) shares.

    0 for the leading one; inf from the place on at which no cluster is searched any more.
    """
    order = np.argsort(-shares, axis=1, kind="stable")
    probes = np.arange(len(shares))[:, None]
    sorted_shares = shares[probes, order]
    ahead = np.cumsum(sorted_shares, axis=1) - sorted_shares
    ahead[:, 0] = 0
    ahead[:, MOST_CLUSTERS:] = np.inf
    before = np.empty_like(shares)
    before[probes, order] = ahead
    return before


def reached(before: Floats, needed: float) -> NDArray[np.bool_]:
    """Whether clusters with so much of the vote ahead of them (any shape) are searched."""
    return np.asarray((before == 0) | (before < needed))
