"""Hard probes: the same face in a picture that is bad in one way, always to the same degree.

They are for testing alone. Nothing is drawn, so that results can be compared; the degraded copies
that are trained on (models/degrade.py) have other strengths, and none of them is a JPEG file.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from training.stores.format import Kind

_FACE_WIDTH_PX = 24
"""Of the whole aligned crop, which the face fills from temple to temple. The detector's box is
about 0.7 as wide: by it, these faces are 17 px wide."""
_BLUR_SIGMA_PX = 2.0
"""In a crop of `_REFERENCE_SIDE_PX`; more in a larger one."""
_REFERENCE_SIDE_PX = 112
_BRIGHTNESS = 0.4
_JPEG_QUALITY = 20
_COVER = 128
"""Grey, as a scarf or mask; the templates of LFW suffer less from it than from black."""


def hard_probe(crop: NDArray[np.uint8], kind: Kind, *, nose_y_px: float) -> NDArray[np.uint8]:
    """Make one hard probe.

    Args:
        crop: (side, side, 3) RGB aligned face; it is not changed.
        kind: one of `HARD_KINDS`.
        nose_y_px: how far down the crop the tip of the nose lies; rows below are covered.

    Returns:
        (side, side, 3) RGB.

    Raises:
        ValueError: `kind` is another.
    """
    match kind:
        case Kind.HARD_RESOLUTION:
            return _coarse(crop)
        case Kind.HARD_BLUR:
            sigma_px = _BLUR_SIGMA_PX * len(crop) / _REFERENCE_SIDE_PX
            return np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma_px), np.uint8)
        case Kind.HARD_BRIGHTNESS:
            return np.asarray(cv2.convertScaleAbs(crop, alpha=_BRIGHTNESS), np.uint8)
        case Kind.HARD_JPEG:
            return _recompressed(crop)
        case Kind.HARD_COVER:
            covered = crop.copy()
            covered[round(nose_y_px) :] = _COVER
            return covered
        case _:
            raise ValueError(f"{kind.name} is no hard probe")


def _coarse(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small = cv2.resize(crop, (_FACE_WIDTH_PX, _FACE_WIDTH_PX), interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (len(crop), len(crop)), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.uint8)


def _recompressed(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """OpenCV takes and gives BGR, and JPEG keeps less of colour than of light: hence the turns."""
    bgr = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
    _, file = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
