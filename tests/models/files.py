"""Small picture files made in memory, for the tests of decoding."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from models.arrays import Picture


def pattern(height_px: int = 40, width_px: int = 56) -> Picture:
    """A smooth picture without any symmetry, so that every turn and channel swap shows."""
    rows, columns = np.mgrid[0:height_px, 0:width_px]
    channels = (rows * 3 + columns, columns * 4, 200 - rows * 4 - columns // 2)
    return np.stack(channels, axis=-1).clip(0, 255).astype(np.uint8)


def encoded(picture: Picture | Image.Image, kind: str, **options: object) -> bytes:
    """The picture as a file of Pillow's format `kind`."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG file with its length and check sum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width_px: int,
    height_px: int,
    row: bytes,
    *,
    depth: int,
    colour_type: int,
    chunks: bytes = b"",
) -> bytes:
    """A PNG file whose rows are all alike, in any of the format's depths and colour types.

    Args:
        width_px: declared width; the row is not checked against it.
        height_px: declared height, and the number of rows written.
        row: packed samples of one row.
        depth: bits a sample.
        colour_type: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha.
        chunks: put between header and pixels.
    """
    header = struct.pack(">IIBBBBB", width_px, height_px, depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + chunks
        + png_chunk(b"IDAT", zlib.compress((b"\0" + row) * height_px))
        + png_chunk(b"IEND", b"")
    )
