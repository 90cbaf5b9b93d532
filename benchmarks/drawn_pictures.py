"""As many different pictures of faces as wanted, from the few that the tests have.

Each is turned, lit and blurred otherwise, so that its template is its own: searched with the very
picture that somebody was enrolled with, that subject comes first. They tell nothing of accuracy.
"""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

PICTURES = Path(__file__).parents[1] / "tests" / "data"
FACES = ("obama", "obama2", "obama3", "biden", "astronaut")
LONGEST_SIDE_PX = 240
LARGEST_TURN_DEGREES = 12


def drawn_pictures(*, seed: int) -> Iterator[bytes]:
    """Draw JPEG pictures of one face each, without end."""
    random = np.random.default_rng(seed)
    faces = [_reduced(name) for name in FACES]
    for number in range(2**31):
        image = faces[number % len(faces)].rotate(
            random.uniform(-LARGEST_TURN_DEGREES, LARGEST_TURN_DEGREES),
            resample=Image.Resampling.BILINEAR,
        )
        image = ImageEnhance.Brightness(image).enhance(random.uniform(0.7, 1.3))
        image = ImageEnhance.Contrast(image).enhance(random.uniform(0.7, 1.3))
        image = image.filter(ImageFilter.GaussianBlur(random.uniform(0, 0.8)))
        yield _jpeg(image)


def empty_picture() -> bytes:
    """Make a picture that shows nothing: to ask for a gallery's revision costs next to nothing."""
    return _jpeg(Image.new("RGB", (32, 32), (90, 90, 90)))


def _reduced(name: str) -> Image.Image:
    with Image.open(PICTURES / f"{name}.jpg") as image:
        image.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX))
        return image.convert("RGB")


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()
