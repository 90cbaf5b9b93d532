"""Pictures that no camera has made: each kind is a way to damage a good one, or to lie in it."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence

from PIL import Image

Mutation = Callable[[random.Random, bytes], bytes]
"""Makes a file of a JPEG picture."""


MODES = (
    *(("L", "PNG"), ("P", "PNG"), ("1", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"), ("I;16", "PNG")),
    *(("RGB", "WEBP"), ("RGBA", "WEBP"), ("CMYK", "JPEG"), ("L", "JPEG")),
)


def truncated(chance: random.Random, picture: bytes) -> bytes:
    return picture[: chance.randrange(len(picture))]


def bits_flipped(chance: random.Random, picture: bytes) -> bytes:
    damaged = bytearray(picture)
    for _ in range(chance.choice((1, 4, 16, 256))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def overwritten(chance: random.Random, picture: bytes) -> bytes:
    start = chance.randrange(len(picture))
    noise = chance.randbytes(chance.choice((2, 64, 4096)))
    return picture[:start] + noise + picture[start + len(noise) :]


def repeated(chance: random.Random, picture: bytes) -> bytes:
    start, end = sorted(chance.randrange(len(picture)) for _ in range(2))
    return picture[:end] + picture[start:end] * chance.choice((1, 3)) + picture[end:]


def with_a_tail(chance: random.Random, picture: bytes) -> bytes:
    return picture + chance.choice((chance.randbytes(5000), picture, b"\xff\xd8\xff" * 1000))


def size_that_lies(chance: random.Random, picture: bytes) -> bytes:
    """A JPEG frame's height and width, replaced."""
    start = min(
        place for marker in (b"\xff\xc0", b"\xff\xc2") if (place := picture.find(marker)) >= 0
    )
    size = struct.pack(">HH", *(chance.choice((0, 1, 17, 4000, 65535)) for _ in range(2)))
    return picture[: start + 5] + size + picture[start + 9 :]


def exif_nonsense(chance: random.Random, picture: bytes) -> bytes:
    order = chance.choice((b"II*\x00", b"MM\x00*", b"II+\x00", b"\x00\x00\x00\x00"))
    count = chance.choice((1, 5, 65535))
    entry = struct.pack("<HHII", 0x0112, *(chance.randrange(2**16), 2**31, chance.randrange(2**32)))
    exif = b"Exif\x00\x00" + order + struct.pack("<IH", chance.choice((8, 0, 2**31)), count) + entry
    exif += chance.randbytes(chance.randrange(500))
    return picture[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + picture[2:]


def other_mode(chance: random.Random, picture: bytes) -> bytes:
    """The same picture as a PNG or WebP, grey, with a palette or transparent; perhaps damaged."""
    image = Image.open(io.BytesIO(picture)).resize((160, 200))
    mode, kind = chance.choice(MODES)
    out = io.BytesIO()
    (image.convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)).save(out, kind)
    damage = chance.choice((lambda _, data: data, bits_flipped, truncated, overwritten))
    return damage(chance, out.getvalue())


def animated(chance: random.Random, picture: bytes) -> bytes:
    frames = [
        Image.open(io.BytesIO(picture)).resize((64, 64)).rotate(10 * number)
        for number in range(chance.choice((2, 30)))
    ]
    out = io.BytesIO()
    frames[0].save(
        out, chance.choice(("WEBP", "PNG", "GIF")), save_all=True, append_images=frames[1:]
    )
    return out.getvalue()


def png(width: int, height: int, lines: bytes) -> bytes:
    """A grey PNG of any size and content, right or wrong."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def bomb(chance: random.Random, _picture: bytes) -> bytes:
    """Few bytes that say, or hold, far more pixels than a picture may have."""
    width = chance.choice((6000, 20_000, 2**31 - 1))
    return png(width, chance.choice((1, 7000, 2**31 - 1)), bytes(chance.choice((10, 30_000_000))))


def many_scans(chance: random.Random, picture: bytes) -> bytes:
    """A progressive JPEG that repeats a scan until it has thousands."""
    out = io.BytesIO()
    Image.open(io.BytesIO(picture)).resize((64, 80)).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * chance.choice((50, 5000)) + data[-2:]


def something_else(chance: random.Random, picture: bytes) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(picture)).resize((32, 32)).save(
        out, chance.choice(("GIF", "BMP", "TIFF", "ICO", "PPM"))
    )
    return chance.choice(
        (
            out.getvalue(),
            b"",
            b"\xff\xd8\xff",
            b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
            b"%PDF-1.4\n",
            b"PK\x03\x04" + chance.randbytes(100),
            b"RIFF\xff\xff\xff\xffWEBPVP8X" + chance.randbytes(64),
            chance.randbytes(chance.randrange(1, 20_000)),
        )
    )


MUTATIONS: Mapping[str, Mutation] = {
    mutate.__name__: mutate
    for mutate in (
        *(truncated, bits_flipped, overwritten, repeated, with_a_tail, size_that_lies),
        *(exif_nonsense, other_mode, animated, bomb, many_scans, something_else),
    )
}


def mutated_picture(chance: random.Random, pictures: Sequence[bytes]) -> tuple[str, bytes]:
    """Draw a kind, and make one of it; gives both."""
    kind = chance.choice(list(MUTATIONS))
    return kind, MUTATIONS[kind](chance, chance.choice(pictures))
