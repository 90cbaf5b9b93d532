"""How many clusters are searched, by how close the vote is."""

import numpy as np

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


def clusters_searched(evidence: Evidence, needed_share: float) -> dict[str, float]:
    """Share of probes by what the search costs and misses.

    Returns:
        `one_cluster`: share of probes for which one cluster is searched, by their candidates;
        `mate_searched`: share of probes whose mate is in a searched cluster.
    """
    searched = evidence.searched(needed_share)
    further = searched & (evidence.share_before > 0)
    return {
        "one_cluster": float(1 - further.any(axis=1).mean()),
        "mate_searched": float(np.mean(searched[:, 0])),
    }
