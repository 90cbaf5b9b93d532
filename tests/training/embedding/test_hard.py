from io import BytesIO

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.embedding.hard import hard_probe
from training.stores.format import HARD_KINDS, TRAINABLE, Kind

NOSE_Y_PX = 71.7366


def crop(side_px: int = 112) -> NDArray[np.uint8]:
    """Coloured noise in blocks of 4 px."""
    blocks = np.random.default_rng(1).integers(20, 230, (side_px // 4, side_px // 4, 3))
    return blocks.repeat(4, axis=0).repeat(4, axis=1).astype(np.uint8)


def probe(kind: Kind, of: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    return hard_probe(crop() if of is None else of, kind, nose_y_px=NOSE_Y_PX)


@pytest.mark.parametrize("kind", HARD_KINDS)
@pytest.mark.parametrize("side_px", [112, 160])
def test_it_is_always_the_same_and_leaves_the_crop(kind: Kind, side_px: int) -> None:
    original = crop(side_px)
    made = probe(kind, original)
    assert made.shape == original.shape
    assert made.dtype == np.uint8
    assert (made != original).any()
    np.testing.assert_array_equal(original, crop(side_px))
    np.testing.assert_array_equal(made, probe(kind, original))


@pytest.mark.parametrize("kind", TRAINABLE)
def test_kinds_that_are_trained_on_are_none(kind: Kind) -> None:
    with pytest.raises(ValueError, match=f"{kind.name} is no hard probe"):
        probe(kind)


def test_there_are_five() -> None:
    assert [kind.name for kind in HARD_KINDS] == [
        "HARD_RESOLUTION",
        "HARD_BLUR",
        "HARD_BRIGHTNESS",
        "HARD_JPEG",
        "HARD_COVER",
    ]


def test_a_face_of_24_px_keeps_nothing_finer() -> None:
    # Each of the 24 pixels is the mean of more than four, so stripes of 2 px are averaged away.
    stripes = np.zeros((112, 112, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.ptp(probe(Kind.HARD_RESOLUTION, stripes).astype(int)) < 60
    wide = np.zeros((112, 112, 3), np.uint8)
    wide[:, 56:] = 200
    coarse = probe(Kind.HARD_RESOLUTION, wide)[50, :, 0]
    edge = np.flatnonzero((coarse > 10) & (coarse < 190))
    assert 2 <= len(edge) <= 2 * 112 / 24


@pytest.mark.parametrize("side_px", [112, 224])
def test_blur_is_two_pixels_of_112(side_px: int) -> None:
    point = np.zeros((side_px, side_px, 3), np.uint8)
    middle = side_px // 2
    point[middle, :] = 255
    profile = probe(Kind.HARD_BLUR, point)[:, middle, 0].astype(float)
    places = np.arange(side_px) - middle
    sigma = np.sqrt((profile * places**2).sum() / profile.sum())
    assert sigma == pytest.approx(2 * side_px / 112, rel=0.06)


def test_brightness_is_four_tenths() -> None:
    np.testing.assert_allclose(probe(Kind.HARD_BRIGHTNESS), 0.4 * crop().astype(float), atol=0.51)


def test_jpeg_is_that_of_quality_20_with_the_colours_in_place() -> None:
    smooth = cv2.GaussianBlur(crop(), (0, 0), 6).astype(np.uint8)
    smooth[:, :56, 0] //= 2
    file = BytesIO()
    Image.fromarray(smooth).save(file, "JPEG", quality=20)
    of_pillow = np.asarray(Image.open(file)).astype(int)
    made = probe(Kind.HARD_JPEG, smooth).astype(int)
    assert np.abs(made - of_pillow).mean() < 1
    assert np.abs(made - smooth).mean() > 1
    assert np.abs(made[..., ::-1] - smooth).mean() > 10


def test_below_the_nose_all_is_grey() -> None:
    covered = probe(Kind.HARD_COVER)
    np.testing.assert_array_equal(covered[:72], crop()[:72])
    assert (covered[72:] == 128).all()
