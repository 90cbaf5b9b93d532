import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from models.decode import DecodeLimits, PictureRefused, decode
from tests.models.files import encoded, pattern, png, png_chunk

LIMITS = DecodeLimits()
PICTURE = pattern()
INVERTED = Image.fromarray(255 - PICTURE)
WHITE = [255, 255, 255]


def exif_with(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def text_info() -> PngInfo:
    info = PngInfo()
    info.add_text("comment", "b" * 300, zip=True)
    info.add_itxt("comment", "c" * 300, zip=True)
    return info


FILES = {
    "jpeg": encoded(PICTURE, "JPEG"),
    "jpeg-progressive": encoded(PICTURE, "JPEG", progressive=True),
    "jpeg-grey": encoded(Image.fromarray(PICTURE).convert("L"), "JPEG"),
    "jpeg-cmyk": encoded(Image.fromarray(PICTURE).convert("CMYK"), "JPEG"),
    "jpeg-exif": encoded(PICTURE, "JPEG", exif=exif_with(6)),
    "png": encoded(PICTURE, "PNG"),
    "png-palette": encoded(Image.fromarray(PICTURE).quantize(64), "PNG", transparency=3),
    "png-text": encoded(PICTURE, "PNG", pnginfo=text_info()),
    "png-exif": encoded(PICTURE, "PNG", exif=exif_with(6)),
    "png-16-bit": encoded(Image.fromarray(PICTURE[..., 0].astype(np.uint16) << 8), "PNG"),
    "png-animated": encoded(PICTURE, "PNG", save_all=True, append_images=[INVERTED]),
    "webp": encoded(PICTURE, "WEBP"),
    "webp-lossless": encoded(PICTURE, "WEBP", lossless=True),
    "webp-alpha": encoded(np.dstack((PICTURE, PICTURE[..., 0])), "WEBP"),
    "webp-exif": encoded(PICTURE, "WEBP", exif=exif_with(6)),
    "webp-animated": encoded(PICTURE, "WEBP", save_all=True, append_images=[INVERTED]),
}


def refusal(data: bytes, limits: DecodeLimits = LIMITS) -> PictureRefused:
    with pytest.raises(PictureRefused) as caught:
        decode(data, limits)
    assert str(caught.value) == f"{caught.value.code}: {caught.value.detail}"
    return caught.value


@pytest.mark.parametrize("name", ["png", "png-text", "png-animated", "webp-lossless"])
def test_lossless_files_give_their_pixels_and_of_an_animation_the_first_frame(name: str) -> None:
    decoded = decode(FILES[name], LIMITS)
    np.testing.assert_array_equal(decoded, PICTURE)
    assert decoded.flags.c_contiguous
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("jpeg", 6),
        ("jpeg-progressive", 6),
        ("jpeg-cmyk", 12),
        ("webp", 12),
        ("webp-animated", 12),
    ],
)
def test_lossy_files_give_about_their_pixels(name: str, tolerance: float) -> None:
    difference = decode(FILES[name], LIMITS).astype(int) - PICTURE
    assert np.abs(difference).mean() < tolerance


def test_a_ycck_jpeg_is_decoded_in_its_colours() -> None:
    # Pillow writes plain CMYK only, inverted as Photoshop does. So it is handed the planes that
    # a YCCK file holds, and the file is then declared to be one.
    inks = np.asarray(Image.fromarray(PICTURE).convert("CMYK"))
    luma_chroma = np.asarray(Image.fromarray(inks[..., :3]).convert("YCbCr"))
    planes = np.dstack((255 - luma_chroma, inks[..., 3]))
    file = bytearray(encoded(Image.frombytes("CMYK", (56, 40), planes.tobytes()), "JPEG"))
    file[file.index(b"Adobe") + 11] = 2
    difference = decode(bytes(file), LIMITS).astype(int) - PICTURE
    assert np.abs(difference).mean() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    file = encoded(PICTURE, kind, exif=exif_with(orientation), quality=95)
    undo = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, 1)
    back = encoded(decode(file, LIMITS), "PNG", exif=exif_with(undo))
    difference = decode(back, LIMITS).astype(int) - PICTURE
    assert np.abs(difference).mean() < 12
    assert decode(file, LIMITS).shape == ((40, 56, 3) if orientation < 5 else (56, 40, 3))


@pytest.mark.parametrize(
    ("row", "depth", "colour_type", "chunks", "expected"),
    [
        pytest.param(b"\xa5" * 3, 1, 0, b"", [255, 255, 255], id="black-and-white"),
        pytest.param(b"\xff" * 5, 2, 0, b"", [255, 255, 255], id="grey-2"),
        pytest.param(b"\x88" * 10, 4, 0, b"", [136, 136, 136], id="grey-4"),
        pytest.param(b"\x64" * 20, 8, 0, b"", [100, 100, 100], id="grey-8"),
        pytest.param(b"\x80\xff" * 20, 16, 0, b"", [128, 128, 128], id="grey-16"),
        pytest.param(b"\x10\x20\x30" * 20, 8, 2, b"", [16, 32, 48], id="rgb-8"),
        pytest.param(b"\x10\xff\x20\xff\x30\xff" * 20, 16, 2, b"", [16, 32, 48], id="rgb-16"),
        pytest.param(
            bytes(20), 8, 3, png_chunk(b"PLTE", b"\x10\x20\x30"), [16, 32, 48], id="palette"
        ),
        pytest.param(
            bytes(20),
            8,
            3,
            png_chunk(b"PLTE", b"\x10\x20\x30") + png_chunk(b"tRNS", b"\0"),
            WHITE,
            id="palette-transparent",
        ),
        pytest.param(bytes(20), 8, 0, png_chunk(b"tRNS", b"\0\0"), WHITE, id="grey-transparent"),
        pytest.param(
            b"\x10\x20\x30" * 20,
            8,
            2,
            png_chunk(b"tRNS", b"\0\x10\0\x20\0\x30"),
            WHITE,
            id="rgb-transparent",
        ),
        pytest.param(b"\x00\x80" * 20, 8, 4, b"", [127, 127, 127], id="grey-alpha-8"),
        pytest.param(b"\0\0\x80\0" * 20, 16, 4, b"", [127, 127, 127], id="grey-alpha-16"),
        pytest.param(b"\xff\0\0\x80" * 20, 8, 6, b"", [255, 127, 127], id="rgb-alpha-8"),
        pytest.param(b"\xff\0\0\0\0\0\x80\0" * 20, 16, 6, b"", [255, 127, 127], id="rgb-alpha-16"),
    ],
)
def test_every_kind_of_png_becomes_rgb(
    row: bytes, depth: int, colour_type: int, chunks: bytes, expected: list[int]
) -> None:
    file = png(20, 20, row, depth=depth, colour_type=colour_type, chunks=chunks)
    decoded = decode(file, LIMITS)
    assert decoded.shape == (20, 20, 3)
    np.testing.assert_array_equal(decoded[10, 10 if depth > 1 else 0], expected)


def test_a_transparent_webp_is_white() -> None:
    clear = np.dstack((PICTURE, np.zeros_like(PICTURE[..., 0])))
    assert (decode(encoded(clear, "WEBP"), LIMITS) == 255).all()


def test_an_empty_file_is_refused() -> None:
    assert refusal(b"").code == "empty_image"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(PICTURE, "GIF"), id="gif"),
        pytest.param(encoded(PICTURE, "BMP"), id="bmp"),
        pytest.param(encoded(PICTURE, "TIFF"), id="tiff"),
        pytest.param(b"<html>holiday.jpg</html>", id="html"),
        pytest.param(b"%PDF-1.7", id="pdf"),
        pytest.param(b"RIFF\0\0\0\0WAVE", id="wave"),
        pytest.param(b"\xff", id="one-byte"),
    ],
)
def test_other_formats_are_refused(data: bytes) -> None:
    assert refusal(data).code == "unsupported_format"


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_anywhere_is_refused(name: str) -> None:
    file = FILES[name]
    for length in range(12, len(file)):
        assert refusal(file[:length]).code == "corrupt_image"


@pytest.mark.parametrize("name", ["jpeg", "png"])
def test_bytes_after_the_end_are_ignored(name: str) -> None:
    # Phones append a film to a JPEG, for one.
    np.testing.assert_array_equal(
        decode(FILES[name] + b"\xff\xda" * 500, LIMITS), decode(FILES[name], LIMITS)
    )


def test_limits_are_inclusive_and_checked_before_decoding() -> None:
    file = FILES["png"]
    exact = DecodeLimits(max_bytes=len(file), max_pixels=40 * 56, min_side_px=40)
    assert decode(file, exact).shape == PICTURE.shape
    assert refusal(file, DecodeLimits(max_bytes=len(file) - 1)).code == "image_too_large"
    assert refusal(file, DecodeLimits(max_pixels=40 * 56 - 1)).code == "too_many_pixels"
    assert refusal(file, DecodeLimits(min_side_px=41)).code == "image_too_small"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_of_one_pixel_is_too_small(kind: str) -> None:
    assert refusal(encoded(PICTURE[:1, :1], kind)).code == "image_too_small"


def jpeg_declaring(side_px: int) -> bytes:
    file = bytearray(FILES["jpeg"])
    sizes = file.index(b"\xff\xc0") + 5
    file[sizes : sizes + 4] = side_px.to_bytes(2) * 2
    return bytes(file)


def webp_declaring(name: str, at: int, body: bytes) -> bytes:
    file = bytearray(FILES[name])
    file[at : at + len(body)] = body
    return bytes(file)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(jpeg_declaring(30_000), id="jpeg"),
        pytest.param(png(30_000, 30_000, b"", depth=8, colour_type=2)[:100], id="png"),
        pytest.param(webp_declaring("webp", 26, b"\xff\x3f\xff\x3f"), id="webp"),
        pytest.param(webp_declaring("webp-lossless", 21, b"\xff\xff\xff\x0f"), id="webp-lossless"),
        pytest.param(webp_declaring("webp-animated", 24, b"\xff" * 6), id="webp-animated"),
    ],
)
def test_a_huge_declared_size_is_refused_by_its_header(data: bytes) -> None:
    assert refusal(data).code == "too_many_pixels"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("side_px", [64, 99])
def test_the_size_that_is_checked_is_the_size_that_is_decoded(kind: str, side_px: int) -> None:
    file = encoded(pattern(side_px, side_px + 1), kind)
    too_low = DecodeLimits(max_pixels=side_px * (side_px + 1) - 1)
    assert f"{side_px + 1} x {side_px} " in refusal(file, too_low).detail


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(30_000_000))), id="zTXt"),
        pytest.param(
            png_chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(30_000_000))), id="iTXt"
        ),
        pytest.param(png_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(30_000_000))), id="iCCP"),
        pytest.param(
            png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000))) * 80, id="many-zTXt"
        ),
    ],
)
def test_compressed_text_that_would_fill_the_memory_is_refused(chunks: bytes) -> None:
    file = png(20, 20, bytes(20), depth=8, colour_type=0, chunks=chunks)
    assert refusal(file).code == "corrupt_image"


def test_pixel_data_beyond_the_declared_size_is_not_unpacked() -> None:
    bomb = png(20, 20, bytes(5_000_000), depth=8, colour_type=0)
    assert decode(bomb, LIMITS).shape == (20, 20, 3)


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    file = FILES["jpeg-progressive"]
    scan = file[file.rindex(b"\xff\xda") : -2]
    assert decode(file[:-2] + scan * 20 + file[-2:], LIMITS).shape == PICTURE.shape
    assert "scans" in refusal(file[:-2] + scan * 200 + file[-2:]).detail
    # An end within a comment ends nothing.
    comment = b"\xff\xfe\x00\x04\xff\xd9"
    assert decode(file[:-2] + comment + file[-2:], LIMITS).shape == PICTURE.shape
    assert "scans" in refusal(file[:-2] + comment + scan * 200 + file[-2:]).detail


def test_broken_exif_neither_warns_nor_refuses() -> None:
    exif = b"Exif\0\0II*\0" + b"\xff" * 60
    np.testing.assert_array_equal(
        decode(encoded(PICTURE, "JPEG", exif=exif), LIMITS), decode(FILES["jpeg"], LIMITS)
    )


def test_pillows_own_limit_on_pixels_neither_warns_nor_refuses() -> None:
    # From 89 million pixels on `Image.open` would warn, from twice that raise. That the smallest
    # side is what is found wrong shows that neither came first.
    file = png(20_000, 10_000, b"", depth=8, colour_type=2)[:100]
    roomy = DecodeLimits(max_pixels=10**9, min_side_px=10_001)
    assert refusal(file, roomy).code == "image_too_small"


def mutated(file: bytes, rng: np.random.Generator) -> bytes:
    """The file with bytes changed, lost or added; often in its first sixty, the headers."""
    data = bytearray(file)
    place = int(rng.integers(len(data) if rng.random() < 0.5 else 60))
    match rng.integers(4):
        case 0:
            data[place] = int(rng.integers(256))
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        case 1:
            del data[place : place + int(rng.integers(1, 20))]
        case 2:
            data[place:place] = rng.bytes(int(rng.integers(1, 20)))
        case _:
            data[place : place + 4] = rng.bytes(4)
    return bytes(data)


def test_no_bytes_raise_anything_but_a_refusal() -> None:
    rng = np.random.default_rng(7)
    codes: set[str] = set()
    small = DecodeLimits(max_pixels=1_000_000)
    for turn in range(4_000):
        file = list(FILES.values())[turn % len(FILES)]
        try:
            decoded = decode(mutated(file, rng), small)
        except PictureRefused as refused:
            codes.add(refused.code)
        else:
            assert decoded.dtype == np.uint8
            assert decoded.shape[2:] == (3,)
    assert codes >= {"corrupt_image", "unsupported_format", "too_many_pixels"}


def test_random_bytes_behind_a_known_beginning_are_refused() -> None:
    rng = np.random.default_rng(8)
    for head in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8 "):
        for _ in range(200):
            refusal(head + rng.bytes(200))
