"""The slow, obvious twin of robust class means."""

from itertools import pairwise

import numpy as np

from models.arrays import Floats


def one_at_a_time(samples: Floats, offsets: list[int]) -> Floats:
    """What the formula says, subject after subject, in double precision."""
    means = []
    for start, stop in pairwise(offsets):
        own = samples[start:stop].astype(np.float64)
        weights = np.ones(len(own))
        if len(own) >= 3:
            cosines = []
            for place in range(len(own)):
                others = np.delete(own, place, axis=0).mean(axis=0)
                cosines.append(max(own[place] @ others / np.linalg.norm(others), 0))
            half = np.median(cosines) / 2
            weights = np.array([1 if c >= half else (c / half) ** 2 for c in cosines])
        mean = weights @ own
        means.append(mean / np.linalg.norm(mean))
    return np.array(means, np.float32)
