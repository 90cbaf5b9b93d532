"""How many clusters are searched, by how close the vote is."""

import numpy as np

from models.pre_selection import MOST_CLUSTERS
from training.calibration.evidence import Evidence

SHARES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
ALLOWED_LOSS = 0.0005
"""Share of the mates that a narrower search may leave behind a wider one."""


def calibrate_needed_share(evidence: Evidence) -> float:
    """Choose the smallest share of the vote that reaches nearly all mates.

    Args:
        evidence: of validation probes, good and poor.
    """
    found = [float(evidence.searched(share)[:, 0].mean()) for share in SHARES]
    return next(
        share
        for share, reached in zip(SHARES, found, strict=True)
        if reached >= max(found) - ALLOWED_LOSS
    )


def width_of(evidence: Evidence, needed_share: float) -> dict[str, float]:
    """What a search costs and what it misses.

    Returns:
        `clusters_1`, `clusters_2`, ...: share of the probes for which so many are searched;
        `mate_searched`: share of the probes whose mate is in a searched cluster.
    """
    counts = evidence.clusters_searched(needed_share)
    shares = np.bincount(counts, minlength=MOST_CLUSTERS + 1)[1:] / len(counts)
    return {
        **{f"clusters_{count}": float(share) for count, share in enumerate(shares, start=1)},
        "mate_searched": float(evidence.searched(needed_share)[:, 0].mean()),
    }
