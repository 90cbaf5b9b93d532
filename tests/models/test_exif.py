import struct

import numpy as np
import pytest
from PIL import Image

from models.exif import read_orientation, upright
from tests.models.files import pattern

TRANSPOSES = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def exif_block(order: str, tag: int, kind: int, value: int, *, before: int = 0) -> bytes:
    """A TIFF header and one directory: `before` other entries, then the given one."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entries = [struct.pack(order + "HHIHH", 0x0100 + i, 3, 1, 9, 0) for i in range(before)]
    entries.append(struct.pack(order + "HHIHH", tag, kind, 1, value, 0))
    count = struct.pack(order + "H", len(entries))
    return head + struct.pack(order + "I", 8) + count + b"".join(entries)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_orientation_is_read_in_both_byte_orders(
    order: str, orientation: int, prefix: bytes
) -> None:
    block = prefix + exif_block(order, 0x0112, 3, orientation, before=3)
    assert read_orientation(block) == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_written_by_pillow_is_read(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description before it"
    exif[0x0112] = orientation
    assert read_orientation(exif.tobytes()) == orientation


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"II*", id="short-header"),
        pytest.param(b"XX*\0" + bytes(40), id="unknown-order"),
        pytest.param(b"II*\0\xff\xff\xff\xff" + bytes(40), id="directory-outside"),
        pytest.param(exif_block("<", 0x0112, 3, 0), id="zero"),
        pytest.param(exif_block("<", 0x0112, 3, 9), id="nine"),
        pytest.param(exif_block("<", 0x0112, 4, 6), id="not-a-short"),
        pytest.param(exif_block("<", 0x0111, 3, 6), id="another-tag"),
        pytest.param(exif_block("<", 0x0112, 3, 6, before=2)[:-12], id="cut-before-the-tag"),
    ],
)
def test_broken_or_absent_orientation_is_upright(block: bytes) -> None:
    assert read_orientation(block) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_turns_as_pillow_does(orientation: int) -> None:
    picture = pattern(5, 7)
    transpose = TRANSPOSES[orientation]
    image = Image.fromarray(picture)
    expected = np.asarray(image if transpose is None else image.transpose(transpose))
    turned = upright(picture, orientation)
    np.testing.assert_array_equal(turned, expected)
    assert turned.flags.c_contiguous
