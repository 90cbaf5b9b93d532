"""Evidence made by hand: how alike mates and others are is chosen, nothing is searched."""

from collections.abc import Sequence

import numpy as np

from models.pre_selection import MOST_CLUSTERS
from training.calibration.evidence import Evidence

USELESS = (0.2, 0.2)


def made_up_evidence(
    probes: int,
    *,
    subnet: Sequence[float] = USELESS,
    class_mean: Sequence[float] = USELESS,
    best_sample: Sequence[float] = USELESS,
    spread: float = 0.1,
    samples: tuple[int, int] = (1, 5),
    quality: tuple[float, float] = (0, 1),
    seed: int = 0,
) -> Evidence:
    """Probes with eight candidates, all in one cluster.

    Args:
        probes: n.
        subnet: mean cosine of the mate, and of each other.
        class_mean: the same.
        best_sample: the same.
        spread: standard deviation around all of them.
        samples: bounds of each candidate's samples, the upper one excluded.
        quality: bounds of the probes' quality.
        seed: of all draws.
    """
    rng = np.random.default_rng(seed)
    levels = np.array([subnet, class_mean, best_sample])
    means = np.concatenate([levels[:, :1], np.repeat(levels[:, 1:], 7, axis=1)], axis=1).T
    ahead = np.full((probes, MOST_CLUSTERS), np.inf, np.float32)
    ahead[:, 0] = 0
    return Evidence(
        cosines=(means + spread * rng.standard_normal((probes, 8, 3))).astype(np.float32),
        share_before=np.zeros((probes, 8), np.float32),
        share_before_without=np.zeros((probes, 8), np.float32),
        ahead=ahead,
        sample_counts=rng.integers(*samples, (probes, 8)),
        quality=rng.uniform(*quality, probes).astype(np.float32),
    )
