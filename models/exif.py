"""The one EXIF tag that changes a picture: which way up the camera was held."""

import struct

import numpy as np

from models.arrays import Picture

_ORIENTATION_TAG = 0x0112
_SHORT = 3  # EXIF's number for an unsigned 16-bit value


def read_orientation(exif: bytes) -> int:
    r"""Find the orientation in an EXIF block.

    Pillow's own reader walks every tag and warns about each broken one; a picture is worth
    showing whatever the other tags hold, so this one looks at the single tag and never fails.

    Args:
        exif: a TIFF header and its directories, with or without `Exif\0\0` before them.

    Returns:
        1-8 as EXIF numbers them; 1 (upright) where the tag is absent, broken or out of range.
    """
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, directory)
        for entry in range(entries):
            tag, kind, _, value = struct.unpack_from(
                order + "HHIH", block, directory + 2 + 12 * entry
            )
            if tag == _ORIENTATION_TAG:
                return value if kind == _SHORT and 1 <= value <= 8 else 1
    except struct.error:  # the block ends before the place that it points to
        pass
    return 1


def upright(picture: Picture, orientation: int) -> Picture:
    """Turn a picture as its EXIF orientation asks.

    Args:
        picture: (H, W, 3) as stored.
        orientation: 1-8.

    Returns:
        (H, W, 3), or (W, H, 3) for 5-8; contiguous, and `picture` itself for 1.
    """
    match orientation:
        case 2:
            turned = picture[:, ::-1]
        case 3:
            turned = picture[::-1, ::-1]
        case 4:
            turned = picture[::-1]
        case 5:
            turned = picture.swapaxes(0, 1)
        case 6:  # the camera was turned left, so turn right
            turned = picture[::-1].swapaxes(0, 1)
        case 7:
            turned = picture[::-1, ::-1].swapaxes(0, 1)
        case 8:
            turned = picture[:, ::-1].swapaxes(0, 1)
        case _:
            return picture
    return np.ascontiguousarray(turned)
