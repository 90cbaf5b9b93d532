"""The generalised Pareto distribution, fitted to the tail of a score distribution."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SHAPES = (-0.4, 0.1)
"""Bounds of the shape. Cosines end at 1, so a heavy tail (far above 0) is an accident of a few
points; below -0.4 the distribution would end just above the largest score seen."""


def fit_generalised_pareto(excesses: NDArray[np.float64]) -> tuple[float, float]:
    """Fit shape and scale by maximum likelihood, the shape kept within `SHAPES`.

    F(x) = 1 - (1 + shape * x / scale) ** (-1 / shape), x >= 0 (Pickands 1975). For a given shape
    the scale has one maximum, found by a golden-section search; so is the shape around it.

    Args:
        excesses: (n,) scores less the threshold that all of them exceed; n at least 2, all > 0.

    Returns:
        shape and scale.

    Raises:
        ValueError: fewer than two excesses, or one that isn't above 0.
    """
    if len(excesses) < 2 or not np.all(excesses > 0):
        raise ValueError("a tail needs at least two excesses, all above 0")
    mean, largest = float(excesses.mean()), float(excesses.max())

    def scale_for(shape: float) -> float:
        lowest = max(-shape * largest * (1 + 1e-6), mean * 0.05)
        return _minimise(lambda scale: _loss(excesses, shape, scale), lowest, lowest + 5 * mean)

    shape = _minimise(lambda shape: _loss(excesses, shape, scale_for(shape)), *SHAPES)
    return shape, scale_for(shape)


def _loss(excesses: NDArray[np.float64], shape: float, scale: float) -> float:
    """Negative mean log-likelihood."""
    if abs(shape) < 1e-9:
        return float(np.log(scale) + excesses.mean() / scale)
    inner = 1 + shape * excesses / scale
    if inner.min() <= 0:
        return float("inf")
    return float(np.log(scale) + (1 + 1 / shape) * np.log(inner).mean())


def _minimise(
    function: Callable[[float], float], low: float, high: float, steps: int = 60
) -> float:
    """Golden-section search for the minimum of a function with one valley."""
    ratio = (5**0.5 - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    value_left, value_right = function(left), function(right)
    for _ in range(steps):
        if value_left <= value_right:
            high, right, value_right = right, left, value_left
            left = high - ratio * (high - low)
            value_left = function(left)
        else:
            low, left, value_left = left, right, value_right
            right = low + ratio * (high - low)
            value_right = function(right)
    return (low + high) / 2
