"""Means read from the table of sums against means taken pixel by pixel."""

import numpy as np
import pytest

from models.arrays import Floats, Picture
from models.detect.area import AreaTable


def picture_of(height: int, width: int) -> Picture:
    rng = np.random.default_rng(height * 1000 + width)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def mean_by_mean(picture: Picture, rows: int, columns: int) -> Floats:
    """(1, 3, rows, columns): each output pixel by itself, spans in whole-number arithmetic."""
    height, width = picture.shape[:2]
    means = np.empty((1, 3, rows, columns), np.float32)
    for row in range(rows):
        top, bottom = row * height // rows, ((row + 1) * height + rows - 1) // rows
        for column in range(columns):
            left = column * width // columns
            right = ((column + 1) * width + columns - 1) // columns
            means[0, :, row, column] = picture[top:bottom, left:right].mean(axis=(0, 1))
    return means


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (12, 12), (37, 53), (250, 250), (1, 90), (64, 3)]
)
def test_levels_are_means_over_whole_pixels(height: int, width: int) -> None:
    picture = picture_of(height, width)
    sizes = [(height, width), (7, 11), (max(1, height // 3), max(1, width // 2)), (1, 1), (30, 20)]
    levels = list(AreaTable.of(picture).levels(sizes))
    assert len(levels) == len(sizes)
    for level, size in zip(levels, sizes, strict=True):
        np.testing.assert_allclose(level, mean_by_mean(picture, *size), atol=1e-4)


@pytest.mark.parametrize("side", [24, 48])
def test_crops_are_means_over_whole_pixels(side: int) -> None:
    picture = picture_of(90, 130)
    rng = np.random.default_rng(side)
    x1, y1 = rng.integers(0, 129, 40), rng.integers(0, 89, 40)
    boxes = np.stack([x1, y1, rng.integers(x1 + 1, 131), rng.integers(y1 + 1, 91)], axis=1)
    boxes = np.concatenate([boxes, [[0, 0, 130, 90], [129, 89, 130, 90]]])
    crops = AreaTable.of(picture).crops(boxes, side)
    for crop, (left, top, right, bottom) in zip(crops, boxes, strict=True):
        slow = mean_by_mean(picture[top:bottom, left:right], side, side)[0]
        np.testing.assert_allclose(crop, slow, atol=1e-4)


def test_no_boxes_give_no_crops() -> None:
    boxes = np.empty((0, 4), np.intp)
    assert AreaTable.of(picture_of(20, 20)).crops(boxes, 24).shape == (0, 3, 24, 24)


def test_sums_beyond_32_bits_do_no_harm() -> None:
    white = np.full((3000, 3000, 3), 255, np.uint8)
    table = AreaTable.of(white)
    assert np.iinfo(np.int32).max < 255 * 3000 * 3000
    (level,) = table.levels([(40, 60)])
    np.testing.assert_allclose(level, 255, atol=1e-3)
    corner = np.array([[2900, 2950, 3000, 3000]])
    np.testing.assert_allclose(table.crops(corner, 24), 255, atol=1e-3)


def test_pictures_need_not_be_contiguous() -> None:
    picture = picture_of(40, 60)
    (level,) = AreaTable.of(picture[::2, ::-1]).levels([(9, 9)])
    np.testing.assert_allclose(level, mean_by_mean(picture[::2, ::-1], 9, 9), atol=1e-4)
