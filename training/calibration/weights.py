"""Weights of the fused score: tried on a grid, never worse than the class mean alone."""

from collections.abc import Mapping
from itertools import product

import numpy as np

from models.arrays import Floats
from models.fusion import POOR_QUALITY, UNTRAINED, Fusion
from training.calibration.errors import (
    CLASS_MEAN_ALONE,
    WHOLE,
    Errors,
    class_mean_errors,
    errors_of,
    served_errors,
)
from training.calibration.evidence import Evidence

PARTS = 10
"""A weight is a multiple of a tenth: finer differences are not seen with some thousand probes."""
FEWEST_PROBES = 200
"""Of one quality; with fewer, the standard error of a share near 0.9 is above 0.02."""


def grid() -> Floats:
    """(66, 3) all weights of subnet, class mean and best sample that sum to 1."""
    rows = [
        (subnet, mean, PARTS - subnet - mean)
        for subnet, mean in product(range(PARTS + 1), repeat=2)
        if subnet + mean <= PARTS
    ]
    return (np.array(rows) / PARTS).astype(np.float32)


def calibrate_weights(by_kind: Mapping[str, Evidence], needed_share: float) -> Fusion:
    """Choose the weights with the fewest errors, for good and for poor probes apart.

    What is chosen must keep its promise as it will serve: of all validation probes together, with
    one threshold, no more searches may go wrong than by class mean alone. Else the weights are
    `UNTRAINED`, and if those break it too, (0, 1, 0).

    Args:
        by_kind: evidence of clean and of degraded validation probes.
        needed_share: of the vote, as calibrated.
    """
    every = Evidence.joined(list(by_kind.values()))
    chosen = np.stack([_of_quality(every, poor, needed_share) for poor in (False, True)])
    bound = class_mean_errors(by_kind)[WHOLE]
    for weights in (chosen, UNTRAINED.weights):
        fusion = Fusion(needed_share, weights)
        if served_errors(by_kind, fusion)[WHOLE].no_worse_than(bound):
            return fusion
    return Fusion(needed_share, CLASS_MEAN_ALONE.weights)


def _of_quality(every: Evidence, poor: bool, needed_share: float) -> Floats:
    """(2, 3) of candidates with one sample and with several."""
    own = every.where((every.quality < POOR_QUALITY) == poor)
    if len(own) < FEWEST_PROBES:
        own = every
    if len(own) < FEWEST_PROBES:
        untrained: Floats = UNTRAINED.weights[int(poor)]
        return untrained
    return _best(own, needed_share)


def _best(evidence: Evidence, needed_share: float) -> Floats:
    """One pair of weights for all candidates first, then that of candidates with one sample."""

    def errors(weights: Floats) -> Errors:
        return errors_of(evidence, Fusion(needed_share, np.stack([weights, weights])))

    bound = errors_of(evidence.everywhere(), CLASS_MEAN_ALONE)
    best: Floats = CLASS_MEAN_ALONE.weights[0]
    least = bound
    both = [np.stack([weights, weights]) for weights in grid()]
    for trials in (both, None):
        tried = trials or [np.stack([weights, best[1]]) for weights in grid()]
        for weights in tried:
            found = errors(weights)
            if found.no_worse_than(bound) and found.total < least.total:
                best, least = weights, found
    return best
