"""Augmented copies of an aligned face, for subjects with few pictures, as in the paper."""

import cv2
import numpy as np
from numpy.typing import NDArray

# Within what two pictures of a cooperative person differ by anyhow: bad pictures are the business
# of the degraded copies (models/degrade.py).
_ROTATION_DEGREES = 12.0
"""Either way. Alignment has already turned the eyes level, so more would not be met again."""
_BRIGHTNESS = (0.7, 1.3)
_CONTRAST = (0.7, 1.3)
"""Factors of the mean level, and of the distance from it."""


def augmented_copies(
    crop: NDArray[np.uint8], count: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Make copies that are flipped or not, and rotated, brightened and of another contrast.

    A template averaged with the mirrored face's, as the default embedder's is, is the same for a
    flipped copy: there the other three make the difference.

    Args:
        crop: (side, side, 3) aligned face; it is not changed.
        count: copies, at least 0.
        rng: decides all; the same state gives the same copies.

    Returns:
        (count, side, side, 3).
    """
    copies = np.empty((count, *crop.shape), np.uint8)
    for copy in copies:
        flipped = crop[:, ::-1] if rng.random() < 0.5 else crop
        turned = _rotated(flipped, rng.uniform(-_ROTATION_DEGREES, _ROTATION_DEGREES))
        copy[:] = _lit(turned, rng.uniform(*_BRIGHTNESS), rng.uniform(*_CONTRAST))
    return copies


def _rotated(crop: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """Turned about its centre; the corners that come into view are reflections."""
    side_px = len(crop)
    middle = (side_px - 1) / 2
    turn = cv2.getRotationMatrix2D((middle, middle), degrees, 1)
    rotated = cv2.warpAffine(
        np.ascontiguousarray(crop),
        turn,
        (side_px, side_px),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(rotated, np.uint8)


def _lit(crop: NDArray[np.uint8], brightness: float, contrast: float) -> NDArray[np.uint8]:
    mean = float(crop.mean())
    shift = mean * (brightness - contrast)
    levels = (np.float32(contrast) * crop + np.float32(shift)).clip(0, 255)
    return np.asarray(np.rint(levels), np.uint8)
