from collections import Counter

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.degrade import KINDS, DegradedCopy, DegradedKind, degraded_copies


def crop(side_px: int = 112) -> NDArray[np.uint8]:
    """Noise of mean 100 in blocks of 4 px, so that every kind of damage shows in its statistics."""
    rng = np.random.default_rng(1)
    blocks = rng.integers(40, 160, (side_px // 4, side_px // 4, 3))
    return blocks.repeat(4, axis=0).repeat(4, axis=1).astype(np.uint8)


def of_kind(kind: DegradedKind, count: int, side_px: int = 112) -> list[DegradedCopy]:
    copies = degraded_copies(crop(side_px), 4 * count, np.random.default_rng(3))
    return [copy for copy in copies if copy.kind == kind]


def detail(picture: NDArray[np.uint8]) -> float:
    return float(np.square(cv2.Laplacian(picture, cv2.CV_32F)).mean())


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7, 10])
@pytest.mark.parametrize("seed", range(5))
def test_kinds_are_not_repeated_while_others_are_left(count: int, seed: int) -> None:
    copies = degraded_copies(crop(), count, np.random.default_rng(seed))
    assert len(copies) == count
    times = Counter(copy.kind for copy in copies)
    assert max(times.values(), default=0) <= -(-count // len(KINDS))


def test_every_kind_comes_up() -> None:
    kinds = {degraded_copies(crop(), 1, np.random.default_rng(i))[0].kind for i in range(60)}
    assert kinds == set(KINDS)


def test_the_generator_decides_everything() -> None:
    first, second, other = (
        degraded_copies(crop(), 6, np.random.default_rng(seed)) for seed in (4, 4, 5)
    )
    for one, two in zip(first, second, strict=True):
        assert one.kind == two.kind
        np.testing.assert_array_equal(one.crop, two.crop)
    assert any((one.crop != two.crop).any() for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize("side_px", [112, 160])
def test_copies_are_of_the_crops_shape_and_differ_from_it(side_px: int) -> None:
    original = crop(side_px)
    for copy in degraded_copies(original, 12, np.random.default_rng(0)):
        assert copy.crop.shape == original.shape
        assert copy.crop.dtype == np.uint8
        assert (copy.crop != original).any()
    np.testing.assert_array_equal(original, crop(side_px))


@pytest.mark.parametrize("kind", ["resolution", "blur"])
@pytest.mark.parametrize("side_px", [112, 160])
def test_detail_is_lost_and_brightness_kept(kind: DegradedKind, side_px: int) -> None:
    for copy in of_kind(kind, 20, side_px):
        assert detail(copy.crop) < 0.5 * detail(crop(side_px))
        assert copy.crop.mean() == pytest.approx(crop(side_px).mean(), abs=1.5)


def test_the_coarsest_copy_is_of_a_face_of_18_px_and_the_finest_of_48() -> None:
    # Each small pixel is spread over 112 / (face / 0.7) of the crop; count the extremes of a row.
    details = [detail(copy.crop) for copy in of_kind("resolution", 60)]
    for face_px, bound in ((18, min(details)), (48, max(details))):
        small_px = round(face_px / 0.7)
        small = cv2.resize(crop(), (small_px, small_px), interpolation=cv2.INTER_AREA)
        expected = detail(np.asarray(cv2.resize(small, (112, 112)), np.uint8))
        assert bound == pytest.approx(expected, rel=0.3)


def test_brightness_is_scaled_within_its_range() -> None:
    factors = [copy.crop.mean() / crop().mean() for copy in of_kind("brightness", 60)]
    assert 0.29 < min(factors) < 0.4
    assert 1.45 < max(factors) < 1.61


def test_a_cover_is_one_rectangle_of_one_colour_within_the_crop() -> None:
    for copy in of_kind("cover", 40):
        changed = (copy.crop != crop()).any(axis=2)
        rows, columns = np.nonzero(changed)
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        assert len(np.unique(copy.crop[top:bottom, left:right].reshape(-1, 3), axis=0)) == 1
        assert 0.28 * 112 <= bottom - top <= 0.6 * 112
        assert 0.28 * 112 <= right - left <= 0.6 * 112
