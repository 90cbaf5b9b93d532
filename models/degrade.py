"""Degraded copies of an aligned face: what the same face would give in a worse picture.

Subnets and class means trained with the templates of such copies recognise bad probes better, and
pictures are not kept; so the copies' templates are made when a face is enrolled.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

DegradedKind = Literal["resolution", "blur", "brightness", "cover"]

KINDS: tuple[DegradedKind, ...] = get_args(DegradedKind)

# The ranges of the trials that showed what the copies buy.
_FACE_WIDTH_PX = (18.0, 48.0)
_BLUR_SIGMA_PX = (1.0, 3.0)
"""In a crop of `_REFERENCE_SIDE_PX`; more in a larger one."""
_BRIGHTNESS = (0.3, 1.6)
_COVERED_SIDE = (0.3, 0.6)
"""Sides of the covered rectangle as shares of the crop's."""
_REFERENCE_SIDE_PX = 112
_FACE_SHARE = 0.7
"""Width of the detector's box as a share of the crop's: the median of LFW."""


@dataclass(frozen=True)
class DegradedCopy:
    """One copy and what was done to it."""

    kind: DegradedKind
    crop: NDArray[np.uint8]
    """(side, side, 3)."""


def degraded_copies(
    crop: NDArray[np.uint8], count: int, rng: np.random.Generator
) -> tuple[DegradedCopy, ...]:
    """Make degraded copies of a face, of different kinds as long as there are kinds left.

    Args:
        crop: (side, side, 3) aligned face; it is not changed.
        count: copies, at least 0; above four, every kind is used again.
        rng: decides kinds and strengths; the same state gives the same copies.
    """
    rounds = -(-count // len(KINDS))
    order = [KINDS[i] for _ in range(rounds) for i in rng.permutation(len(KINDS))]
    return tuple(DegradedCopy(kind, _degrade(crop, kind, rng)) for kind in order[:count])


def _degrade(
    crop: NDArray[np.uint8], kind: DegradedKind, rng: np.random.Generator
) -> NDArray[np.uint8]:
    match kind:
        case "resolution":
            return _coarse(crop, rng.uniform(*_FACE_WIDTH_PX))
        case "blur":
            sigma_px = rng.uniform(*_BLUR_SIGMA_PX) * len(crop) / _REFERENCE_SIDE_PX
            return _bytes(cv2.GaussianBlur(crop, (0, 0), sigma_px))
        case "brightness":
            return _bytes(cv2.convertScaleAbs(crop, alpha=rng.uniform(*_BRIGHTNESS)))
        case "cover":
            return _covered(crop, rng)


def _coarse(crop: NDArray[np.uint8], face_px: float) -> NDArray[np.uint8]:
    """The crop as if the face had been `face_px` wide in its picture."""
    side_px = len(crop)
    small_px = round(face_px / _FACE_SHARE)
    small = cv2.resize(crop, (small_px, small_px), interpolation=cv2.INTER_AREA)
    return _bytes(cv2.resize(small, (side_px, side_px), interpolation=cv2.INTER_LINEAR))


def _covered(crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The crop with a rectangle of one colour somewhere within it."""
    side_px = len(crop)
    height, width = (rng.uniform(*_COVERED_SIDE, size=2) * side_px).astype(int)
    top = rng.integers(side_px - height, endpoint=True)
    left = rng.integers(side_px - width, endpoint=True)
    copy = crop.copy()
    copy[top : top + height, left : left + width] = rng.integers(256, size=3)
    return copy


def _bytes(array: object) -> NDArray[np.uint8]:
    """OpenCV's results are typed as any array; these are of the input's type."""
    return np.asarray(array, np.uint8)
