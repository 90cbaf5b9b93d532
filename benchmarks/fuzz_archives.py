"""Archives that nobody has packed in good faith."""

import gzip
import io
import json
import random
import struct
import tarfile
import zipfile
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence

from benchmarks.fuzz_pictures import bits_flipped, mutated_picture, overwritten, truncated

Packing = Callable[[random.Random, Sequence[bytes]], bytes]
"""Makes an archive, or NDJSON, of some pictures."""

BOMB_BYTES = 200 * 2**20
NAMES = (
    *("../../etc/cron.d/x.jpg", "/etc/passwd.jpg", "a/../../b.jpg", "C:\\x.jpg", "..\\..\\x.jpg"),
    *("a\x00b.jpg", "/" * 500 + ".jpg", "é" * 2000 + ".jpg", "con/nul.jpg", ".jpg"),
)
"""Of entries, most of which lead out of any folder."""


def zipped(names: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(entries: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def damaged(chance: random.Random, pictures: Sequence[bytes]) -> bytes:
    good = zipped({f"person {n}/{n}.jpg": each for n, each in enumerate(pictures)})
    if chance.random() < 0.5:
        entries = [(tarfile.TarInfo(f"{n}/{n}.jpg"), each) for n, each in enumerate(pictures)]
        good = tarred(entries)
        if chance.random() < 0.5:
            good = gzip.compress(good, 1)
    return chance.choice((truncated, bits_flipped, overwritten))(chance, good)


def with_mutated_pictures(chance: random.Random, pictures: Sequence[bytes]) -> bytes:
    files = [mutated_picture(chance, pictures)[1] for _ in range(5)]
    return zipped({f"person {n}/{n}.jpg": each for n, each in enumerate(files)})


def pointing_out(chance: random.Random, pictures: Sequence[bytes]) -> bytes:
    """Names that lead out of any folder, and links."""
    name = chance.choice(NAMES)
    match chance.randrange(3):
        case 0:
            return zipped({name: pictures[0]})
        case 1:
            return tarred([(tarfile.TarInfo(name), pictures[0])])
        case _:
            link = tarfile.TarInfo("a/link.jpg")
            link.type = chance.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE))
            link.linkname = "/etc/passwd"
            return tarred([(link, b"")])


def nested(chance: random.Random, pictures: Sequence[bytes]) -> bytes:
    packed = zipped({"a/one.jpg": pictures[0]})
    for _ in range(chance.randrange(1, 40)):
        packed = zipped({chance.choice(("a/inner.zip", "a/inner.jpg")): packed})
    return packed


def bomb(chance: random.Random, pictures: Sequence[bytes]) -> bytes:
    """A few kilobytes that unpack to hundreds of megabytes."""
    if chance.random() < 0.5:
        return zipped({"a/one.jpg": bytes(BOMB_BYTES), "a/two.jpg": pictures[0]})
    return gzip.compress(tarred([(tarfile.TarInfo("a/one.jpg"), bytes(BOMB_BYTES))]), 1)


def sizes_that_lie(chance: random.Random, pictures: Sequence[bytes]) -> bytes:
    """A directory that says other sizes and places than the entries have."""
    good = bytearray(zipped({"a/one.jpg": pictures[0]}))
    directory = good.rindex(b"PK\x01\x02")
    place = directory + chance.choice((20, 24, 28, 42))
    good[place : place + 4] = struct.pack("<I", chance.choice((0, 1, 2**31, 2**32 - 1)))
    return bytes(good)


def many_entries(chance: random.Random, _pictures: Sequence[bytes]) -> bytes:
    return zipped({f"{n}/{n}.jpg": b"" for n in range(chance.choice((100, 1000)))})


def lines(chance: random.Random, pictures: Sequence[bytes]) -> bytes:
    """NDJSON, some of it right."""
    picture = b64encode(pictures[0]).decode()
    written = [
        json.dumps({"images": [picture], "name": "Ada"}),
        json.dumps({"images": ["not base64!"]}),
        json.dumps({"images": []}),
        json.dumps({"images": [picture[:1000]], "unknown": 1}),
        "[" * 20_000,
        "{",
        '"' + "x" * 200_000,
        '{"images": "' + "A" * 100_000 + '"}',
        "\x00\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        "1e999999",
    ]
    chosen = chance.choices(written, k=chance.randrange(1, 6))
    return "\n".join(chosen).encode("latin-1")


PACKINGS: Mapping[str, Packing] = {
    pack.__name__: pack
    for pack in (
        *(damaged, with_mutated_pictures, pointing_out, nested, bomb, sizes_that_lie),
        *(many_entries, lines),
    )
}


def mutated_archive(chance: random.Random, pictures: Sequence[bytes]) -> tuple[str, bytes]:
    """Draw a kind, and make one of it; gives both."""
    kind = chance.choice(list(PACKINGS))
    return kind, PACKINGS[kind](chance, pictures)
