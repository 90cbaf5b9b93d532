"""Weights of the fused score: tried on a grid, never worse than the class mean alone."""

from dataclasses import replace
from itertools import product

import numpy as np

from models.arrays import Floats
from models.fusion import POOR_QUALITY, UNTRAINED, Fusion
from training.calibration.errors import Errors, errors_of
from training.calibration.evidence import Evidence

STEPS = 10
"""A weight is a multiple of a tenth: finer differences are not seen with some thousand probes."""
FEWEST_PROBES = 200
"""Of one quality; with fewer, the standard error of a share near 0.9 is above 0.02."""
CLASS_MEAN_ALONE = np.array([0, 1, 0], np.float32)


def grid() -> Floats:
    """(66, 3) all weights of subnet, class mean and best sample that sum to 1."""
    rows = [
        (subnet, mean, STEPS - subnet - mean)
        for subnet, mean in product(range(STEPS + 1), repeat=2)
        if subnet + mean <= STEPS
    ]
    return (np.array(rows) / STEPS).astype(np.float32)


def calibrate_weights(evidence: Evidence, needed_share: float) -> Fusion:
    """Choose the weights with the fewest errors, for good and for poor probes apart.

    One pair of weights for all candidates first, then that of candidates with one sample.

    Args:
        evidence: of validation probes.
        needed_share: of the vote, as calibrated.
    """
    fusion = replace(UNTRAINED, needed_share=needed_share, weights=UNTRAINED.weights.copy())
    for poor in (0, 1):
        own = evidence.where((evidence.quality < POOR_QUALITY) == bool(poor))
        if len(own) < FEWEST_PROBES:
            own = evidence
        if len(own) >= FEWEST_PROBES:
            fusion.weights[poor] = _best(own, needed_share)
    return fusion


def _best(evidence: Evidence, needed_share: float) -> Floats:
    """(2, 3) of candidates with one sample and with several."""

    def errors(weights: Floats) -> Errors:
        return errors_of(evidence, Fusion(needed_share, np.stack([weights, weights])))

    # The yardstick looks at all classes, as a search by class mean does.
    alone = Fusion(1.0, np.tile(CLASS_MEAN_ALONE, (2, 2, 1)))
    bound = errors_of(evidence.everywhere(), alone)
    best, least = np.stack([CLASS_MEAN_ALONE, CLASS_MEAN_ALONE]), bound
    both = [np.stack([weights, weights]) for weights in grid()]
    for trials in (both, None):
        tried = trials or [np.stack([weights, best[1]]) for weights in grid()]
        for weights in tried:
            found = errors(weights)
            never_worse = found.misnamed <= bound.misnamed and found.missed <= bound.missed
            if never_worse and found.total < least.total:
                best, least = weights, found
    return best
