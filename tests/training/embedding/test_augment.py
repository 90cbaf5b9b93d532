import numpy as np
import pytest
from numpy.typing import NDArray

from training.embedding.augment import augmented_copies

SIDE = 112


def ramp() -> NDArray[np.uint8]:
    """Bright to the right, not at all down."""
    levels = np.linspace(90, 150, SIDE).astype(np.uint8)
    return np.broadcast_to(levels[None, :, None], (SIDE, SIDE, 3)).copy()


def slopes(copies: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(count, 2) grey levels a pixel to the right and down, in the middle of each."""
    middle = copies[:, 30:82, 30:82].mean(axis=3)
    right = np.diff(middle, axis=2).mean(axis=(1, 2))
    down = np.diff(middle, axis=1).mean(axis=(1, 2))
    return np.stack([right, down], axis=1)


@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("side", [112, 160])
def test_copies_are_of_the_crops_shape_and_leave_it(count: int, side: int) -> None:
    crop = np.random.default_rng(2).integers(0, 256, (side, side, 3)).astype(np.uint8)
    before = crop.copy()
    copies = augmented_copies(crop, count, np.random.default_rng(0))
    assert copies.shape == (count, side, side, 3)
    assert copies.dtype == np.uint8
    np.testing.assert_array_equal(crop, before)


def test_the_generator_decides_everything() -> None:
    one, two, other = (augmented_copies(ramp(), 4, np.random.default_rng(n)) for n in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    assert len({copy.tobytes() for copy in one}) == 4


def test_half_are_flipped_and_all_are_turned_by_up_to_twelve_degrees() -> None:
    right, down = slopes(augmented_copies(ramp(), 400, np.random.default_rng(3))).T
    assert 160 < (right < 0).sum() < 240
    degrees = np.degrees(np.arctan(down / right))
    assert np.abs(degrees).max() < 13
    for low, high in ((-13, -6), (-6, 0), (0, 6), (6, 13)):
        assert 60 < ((degrees > low) & (degrees < high)).sum() < 140


def test_brightness_and_contrast_vary_apart() -> None:
    copies = augmented_copies(ramp(), 400, np.random.default_rng(4))
    brightness = copies.mean(axis=(1, 2, 3)) / ramp().mean()
    contrast = np.linalg.norm(slopes(copies), axis=1) / np.linalg.norm(slopes(ramp()[None]))
    for factors in (brightness, contrast):
        assert 0.69 < factors.min() < 0.75
        assert 1.25 < factors.max() < 1.34
    assert abs(np.corrcoef(brightness, contrast)[0, 1]) < 0.15


def test_corners_that_come_into_view_are_not_black() -> None:
    crop = np.full((SIDE, SIDE, 3), 120, np.uint8)
    for copy in augmented_copies(crop, 20, np.random.default_rng(5)):
        assert copy.min() == copy.max()


def test_levels_beyond_the_range_are_cut_off() -> None:
    crop = np.full((SIDE, SIDE, 3), 250, np.uint8)
    levels = augmented_copies(crop, 40, np.random.default_rng(6))[:, 0, 0, 0]
    assert (levels == 255).any()
    assert levels.min() >= 175
