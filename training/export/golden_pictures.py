"""Pictures that are hard in known ways, made from the few of tests/data: always the same ones."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

PEOPLE = ("obama", "obama2", "obama3", "biden", "astronaut")
_EVERYTHING = (*PEOPLE, "partial", "partial2", "cat")
_GREY = (128, 128, 128)

# Each set of faces also gets one of these, so that no difficulty is tried on one face only.
_GROUPS = {
    "pair": ("obama", "biden"),
    "pair-of-one": ("obama2", "obama3"),
    "three": ("biden", "astronaut", "obama2"),
    "with-cat": ("obama3", "cat", "biden"),
    "everything": _EVERYTHING,
}


def derived_pictures(folder: Path) -> Iterator[tuple[str, Image.Image]]:
    """Name and RGB picture of each golden case, from the JPEG files of tests/data."""
    sources = {name: _open(folder / f"{name}.jpg") for name in _EVERYTHING}
    yield from _groups(sources)
    yield from _turned(sources)
    yield from _small(sources)
    yield from _degraded(sources)
    yield from _cut(sources)
    yield from _without_a_face(sources)


def _open(path: Path) -> Image.Image:
    """A picture of at most 480 pixels, which keeps the golden files small."""
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((480, 480), Image.Resampling.LANCZOS)
    return picture


def _groups(sources: dict[str, Image.Image]) -> Iterator[tuple[str, Image.Image]]:
    for name, members in _GROUPS.items():
        for height in (130, 240):
            yield f"group-{name}-{height}", _beside([sources[m] for m in members], height)
    rows = [_beside([sources[m] for m in order], 150) for order in (PEOPLE, PEOPLE[::-1])]
    grid = Image.new("RGB", (rows[0].width, 300), _GREY)
    for index, row in enumerate(rows):
        grid.paste(row, (0, 150 * index))
    yield "group-grid", grid


def _turned(sources: dict[str, Image.Image]) -> Iterator[tuple[str, Image.Image]]:
    for name, degrees in zip(PEOPLE * 2, (-45, -35, -25, -15, -8, 8, 15, 25, 35, 45), strict=True):
        turned = sources[name].rotate(
            degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=_GREY
        )
        yield f"turned-{name}{degrees:+d}", turned
    yield "turned-upside-down", ImageOps.flip(sources["biden"])
    yield "turned-mirrored", ImageOps.mirror(sources["obama"])


def _small(sources: dict[str, Image.Image]) -> Iterator[tuple[str, Image.Image]]:
    for name, height in zip(PEOPLE, (60, 90, 110, 140, 170), strict=True):
        yield f"small-{name}", _beside([sources[name]], height)
    scattered = Image.new("RGB", (600, 400), _GREY)
    for index, name in enumerate(PEOPLE):
        scattered.paste(_beside([sources[name]], 70 + 35 * index), (110 * index, 40 * index))
    yield "small-scattered", scattered


def _degraded(sources: dict[str, Image.Image]) -> Iterator[tuple[str, Image.Image]]:
    rng = np.random.default_rng(20)
    for name, factor in zip(PEOPLE, (0.15, 0.25, 0.4, 1.7, 2.2), strict=True):
        yield f"light-{name}", ImageEnhance.Brightness(sources[name]).enhance(factor)
    for name, radius in zip(PEOPLE, (1.5, 2.5, 3.5, 5.0, 2.0), strict=True):
        yield f"blurred-{name}", sources[name].filter(ImageFilter.GaussianBlur(radius))
    for name in PEOPLE[::2]:
        yield f"grey-{name}", sources[name].convert("L").convert("RGB")
    for name, deviation in zip(PEOPLE[1::2], (20, 40), strict=True):
        values = np.asarray(sources[name], np.float64)
        noisy = values + rng.normal(0, deviation, values.shape)
        yield f"noisy-{name}", Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    yield "flat-astronaut", ImageEnhance.Contrast(sources["astronaut"]).enhance(0.3)


def _cut(sources: dict[str, Image.Image]) -> Iterator[tuple[str, Image.Image]]:
    yield "cut-partial", sources["partial"]
    yield "cut-partial2", sources["partial2"]
    for name, box in (
        ("obama", (0, 0, 199, 301)),
        ("biden", (13, 7, 174, 260)),
        ("astronaut", (150, 0, 287, 413)),
        ("obama2", (3, 30, 240, 333)),
        ("obama3", (51, 20, 248, 217)),
    ):
        yield f"cut-{name}", sources[name].crop(box)
    tall = Image.new("RGB", (97, 480), _GREY)
    tall.paste(_beside([sources["biden"]], 219), (0, 111))
    yield "cut-tall", tall
    wide = Image.new("RGB", (601, 121), _GREY)
    wide.paste(_beside([sources["obama"]], 121), (333, 0))
    yield "cut-wide", wide


def _without_a_face(sources: dict[str, Image.Image]) -> Iterator[tuple[str, Image.Image]]:
    rng = np.random.default_rng(21)
    yield "empty-cat", sources["cat"]
    yield "empty-plain", Image.new("RGB", (240, 180), _GREY)
    noise = rng.integers(0, 256, (181, 243), dtype=np.uint8)
    yield "empty-noise", Image.fromarray(noise).convert("RGB")
    yield "empty-tiny", sources["obama"].resize((16, 16))


def _beside(pictures: list[Image.Image], height: int) -> Image.Image:
    """Pictures in a row, each scaled to this height."""
    scaled = [p.resize((round(p.width * height / p.height), height)) for p in pictures]
    row = Image.new("RGB", (sum(p.width for p in scaled), height), _GREY)
    left = 0
    for picture in scaled:
        row.paste(picture, (left, 0))
        left += picture.width
    return row
