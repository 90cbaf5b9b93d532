"""Compressed bytes -> an upright RGB picture, or a refusal that says what to do about it.

The bytes come from strangers. What a file declares is checked before any pixel is decoded, its
format is taken from its content and never from its name, and whatever is wrong with it ends in
`PictureRefused`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from models.arrays import Picture
from models.exif import read_orientation, upright

_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
"""Where a segment or the end begins; the other codes stand in the midst of compressed pixels."""
_JPEG_END = 0xD9
_JPEG_SCAN = 0xDA
_PNG_END = b"IEND\xaeB`\x82"
_MAX_JPEG_SCANS = 100
"""A progressive JPEG has about ten scans. Each costs a pass over the whole picture and may be a
few bytes long, so that a small file could otherwise keep a core busy for minutes."""


@dataclass(frozen=True)
class DecodeLimits:
    """What a picture may be, at most and at least; checked before its pixels are decoded."""

    max_bytes: int = 10 * 2**20
    max_pixels: int = 40_000_000
    min_side_px: int = 16


class PictureRefused(ValueError):
    """These bytes are not a picture that Cohort takes.

    Attributes:
        code: `empty_image`, `image_too_large`, `unsupported_format`, `too_many_pixels`,
            `image_too_small` or `corrupt_image`.
        detail: a sentence for the person who sent it.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def decode(data: bytes, limits: DecodeLimits) -> Picture:
    """Decode a JPEG, PNG or WebP file; of an animation, the first frame.

    The EXIF orientation is applied. Grey, palette, CMYK and 16-bit pictures become 8-bit RGB;
    transparent ones are laid on white.

    Args:
        data: the whole file.
        limits: bounds on the file and on the size that it declares.

    Returns:
        (H, W, 3) uint8 RGB, contiguous; possibly read-only.

    Raises:
        PictureRefused: nothing else is raised, whatever the bytes.
    """
    if not data:
        raise PictureRefused("empty_image", "The file is empty: send a JPEG, PNG or WebP picture.")
    if len(data) > limits.max_bytes:
        raise PictureRefused(
            "image_too_large",
            f"The file has {len(data):,} bytes and at most {limits.max_bytes:,} are taken: "
            "send it smaller or compressed more.",
        )
    read = _reader(data)
    try:
        return read(data, limits)
    except PictureRefused:
        raise
    # For broken bytes Pillow raises whatever its parsers stumble on: struct.error, zlib.error,
    # OverflowError, AttributeError and more. Naming them would be a list that is never complete.
    except Exception as error:
        raise _corrupt("it cannot be decoded") from error


def _reader(data: bytes) -> Callable[[bytes, DecodeLimits], Picture]:
    """The reader for the format that the first bytes tell."""
    if data.startswith(b"\xff\xd8\xff"):
        return _read_jpeg
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _read_png
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _read_webp
    raise PictureRefused(
        "unsupported_format",
        "The content is not a JPEG, PNG or WebP picture, whatever its name says: convert it.",
    )


# Pillow's readers are opened by class: `Image.open` would first ask every plugin, and would warn
# about or refuse large pictures by a limit of its own.


class _Jpeg(JpegImageFile):
    def getexif(self) -> Image.Exif:
        # Pillow would look here for the dots per inch, and warn where the block is broken.
        return Image.Exif()


def _read_jpeg(data: bytes, limits: DecodeLimits) -> Picture:
    image = _Jpeg(BytesIO(data))  # reads up to the first scan
    _check_size(*image.size, limits)
    _check_scans(data)
    return _upright_pixels(image)


def _check_scans(data: bytes) -> None:
    """Walk a JPEG's markers as libjpeg does, whatever bytes lie inside the segments between."""
    at, scans = 2, 0
    while marker := _JPEG_MARKER.search(data, at):
        code = data[marker.end() - 1]
        if code == _JPEG_END:
            return
        scans += code == _JPEG_SCAN
        if scans > _MAX_JPEG_SCANS:
            raise _corrupt(f"it has more than {_MAX_JPEG_SCANS} scans")
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    raise _corrupt("its end is missing")


def _read_png(data: bytes, limits: DecodeLimits) -> Picture:
    image = PngImageFile(BytesIO(data))  # reads up to the first pixel data
    _check_size(*image.size, limits)
    if _PNG_END not in data:
        raise _corrupt("its end is missing")
    return _upright_pixels(image)


def _read_webp(data: bytes, limits: DecodeLimits) -> Picture:
    # libwebp reserves the whole canvas when the file is opened, so the size is read before.
    _check_size(*_webp_size(data), limits)
    return _upright_pixels(WebPImageFile(BytesIO(data)))


def _webp_size(data: bytes) -> tuple[int, int]:
    """(width, height) that the first chunk of a WebP file declares."""
    if len(data) < 30:
        raise _corrupt("its header is missing")
    match data[12:16]:
        case b"VP8X":  # animations, alpha, metadata: three bytes each, less one
            width, height = data[24:27], data[27:30]
            return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
        case b"VP8L":  # lossless: 14 bits each, less one, after a signature byte
            packed = int.from_bytes(data[21:25], "little")
            return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        case b"VP8 ":  # lossy: 14 bits each, above them a scaling hint
            packed = int.from_bytes(data[26:30], "little")
            return packed & 0x3FFF, packed >> 16 & 0x3FFF
    raise _corrupt("its first chunk holds no picture")


def _check_size(width_px: int, height_px: int, limits: DecodeLimits) -> None:
    if width_px * height_px > limits.max_pixels:
        raise PictureRefused(
            "too_many_pixels",
            f"The picture is {width_px} x {height_px} pixels and at most {limits.max_pixels:,} "
            "pixels are taken: scale it down.",
        )
    if min(width_px, height_px) < limits.min_side_px:
        raise PictureRefused(
            "image_too_small",
            f"The picture is {width_px} x {height_px} pixels and both sides must have at least "
            f"{limits.min_side_px}: send a larger one.",
        )


def _upright_pixels(image: ImageFile) -> Picture:
    image.load()
    exif = image.info.get("exif", b"")
    return upright(_rgb(image), read_orientation(exif))


def _rgb(image: Image.Image) -> Picture:
    """(H, W, 3) uint8 of a loaded picture in any of the modes that the three formats have."""
    if image.mode == "I;16":
        # Pillow would clip the 16 bits at 255; the upper eight are the picture.
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image)


def _corrupt(what: str) -> PictureRefused:
    return PictureRefused(
        "corrupt_image", f"The picture is damaged or cut short ({what}): export it again."
    )
