import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.align import align, similarities
from models.arrays import Floats
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest
from tests.models.files import pattern

TEMPLATE = read_manifest(DEFAULT_EMBEDDER).template


def moved(points: Floats, *, degrees: float, scale: float, shift: tuple[float, float]) -> Floats:
    """Points turned about the origin, scaled and shifted."""
    radians = np.radians(degrees)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    return (points @ (scale * turn.T) + shift).astype(np.float32)


def by_least_squares(points: Floats, target: Floats) -> NDArray[np.float64]:
    """The same fit as a linear system in (a, b, tx, ty) of [[a, -b, tx], [b, a, ty]]."""
    rows, values = [], []
    for (x, y), (u, v) in zip(points.astype(float), target.astype(float), strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        values += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), np.array(values))[0]
    return np.array([[a, -b, tx], [b, a, ty]])


def by_svd(points: Floats, target: Floats) -> NDArray[np.float64]:
    """The same fit from the singular vectors of the covariance, mirroring excluded."""
    source, goal = points.astype(float), target.astype(float)
    source_middle, goal_middle = source.mean(axis=0), goal.mean(axis=0)
    source, goal = source - source_middle, goal - goal_middle
    u, values, vt = np.linalg.svd(goal.T @ source)
    keep = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    linear = (u * keep) @ vt * (values @ keep) / (source**2).sum()
    return np.column_stack((linear, goal_middle - linear @ source_middle))


@pytest.mark.parametrize("slow", [by_least_squares, by_svd])
def test_similarities_agree_with_one_face_at_a_time(slow: object) -> None:
    assert callable(slow)
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 4000, (40, 5, 2)).astype(np.float32)
    fast = similarities(points, TEMPLATE)
    for one, transform in zip(points, fast, strict=True):
        np.testing.assert_allclose(transform, slow(one, TEMPLATE), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, 270])
@pytest.mark.parametrize("scale", [0.05, 1, 30])
def test_a_moved_template_is_moved_back_exactly(degrees: float, scale: float) -> None:
    points = moved(TEMPLATE, degrees=degrees, scale=scale, shift=(2000, -40))
    (transform,) = similarities(points[None], TEMPLATE)
    back = points @ transform[:, :2].T + transform[:, 2]
    np.testing.assert_allclose(back, TEMPLATE, atol=1e-2)


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    (transform,) = similarities((TEMPLATE * (-1, 1))[None].astype(np.float32), TEMPLATE)
    assert np.linalg.det(transform[:, :2]) > 0


@pytest.mark.parametrize("bad", [np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_landmarks_in_one_point_or_not_finite_are_refused(bad: NDArray[np.float64]) -> None:
    landmarks = np.stack((TEMPLATE, bad.astype(np.float32)))
    with pytest.raises(ValueError, match="landmarks"):
        similarities(landmarks, TEMPLATE)


def test_no_faces_give_no_crops() -> None:
    crops = align(pattern(), np.zeros((0, 5, 2), np.float32), TEMPLATE, 112)
    assert crops.shape == (0, 112, 112, 3)
    assert crops.dtype == np.uint8


def test_landmarks_at_the_template_leave_the_picture_as_it_is() -> None:
    picture = pattern(112, 112)
    np.testing.assert_array_equal(align(picture, TEMPLATE[None], TEMPLATE, 112)[0], picture)


@pytest.mark.parametrize(("turns", "degrees"), [(1, -90), (2, 180), (3, 90)])
def test_a_turned_face_is_upright_in_its_crop(turns: int, degrees: float) -> None:
    picture = np.rot90(pattern(112, 112), turns)
    middle = 55.5
    landmarks = moved(TEMPLATE - middle, degrees=degrees, scale=1, shift=(middle, middle))
    crop = align(np.ascontiguousarray(picture), landmarks[None], TEMPLATE, 112)[0]
    difference = crop[2:-2, 2:-2].astype(int) - pattern(112, 112)[2:-2, 2:-2]
    assert np.abs(difference).max() <= 2


def test_each_crop_is_that_of_its_face_alone() -> None:
    picture = pattern(400, 600)
    landmarks = np.stack(
        [
            moved(TEMPLATE, degrees=10 * i, scale=0.5 + i / 4, shift=(40.0 * i, 30.0))
            for i in range(5)
        ]
    )
    together = align(picture, landmarks, TEMPLATE, 112)
    for one, crop in zip(landmarks, together, strict=True):
        np.testing.assert_array_equal(align(picture, one[None], TEMPLATE, 112)[0], crop)


def test_a_face_beyond_the_border_is_filled_with_black() -> None:
    picture = np.full((60, 60, 3), 200, np.uint8)
    crop = align(picture, TEMPLATE[None] - 60, TEMPLATE, 112)[0]
    assert (crop[:58, :58] == 0).all()
    # The picture's upper left corner comes to (60, 60).
    assert (crop[62:, 62:] == 200).all()


def test_another_size_and_template_are_followed() -> None:
    template = (TEMPLATE * 160 / 112).astype(np.float32)
    crops = align(pattern(112, 112), TEMPLATE[None], template, 160)
    assert crops.shape == (1, 160, 160, 3)


def test_the_picture_may_be_read_only_and_is_left_alone() -> None:
    picture = pattern(112, 112)
    picture.setflags(write=False)
    align(picture, TEMPLATE[None], TEMPLATE, 112)
    np.testing.assert_array_equal(picture, pattern(112, 112))


@pytest.mark.parametrize("degrees", [0, 20, 180])
@pytest.mark.parametrize("scale", [2.0, 3.7, 9.0])
def test_a_large_face_is_averaged_and_not_sampled(scale: float, degrees: float) -> None:
    # Noise of a standard deviation of 74 keeps two thirds of it when interpolated.
    side_px = round(200 * scale)
    picture = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), np.uint8)
    middle = side_px / 2
    landmarks = moved(TEMPLATE - 56, degrees=degrees, scale=scale, shift=(middle, middle))
    crop = align(picture, landmarks[None], TEMPLATE, 112)[0]
    assert abs(crop.mean() - 127.5) < 2
    assert crop.std() < 1.3 * 74 / scale


def test_a_large_face_is_at_the_same_place_as_a_small_one() -> None:
    small = pattern(112, 112)
    large = np.repeat(np.repeat(small, 3, axis=0), 3, axis=1)
    # The centre of pixel x is that of pixels 3x, 3x + 1 and 3x + 2.
    landmarks = (TEMPLATE * 3 + 1)[None].astype(np.float32)
    crop = align(large, landmarks, TEMPLATE, 112)[0]
    assert np.abs(crop.astype(int) - small).max() <= 2


@pytest.mark.parametrize("shift", [(-1e4, 0), (0, -1e4), (1e4, 1e4), (560, 0), (-555, 300)])
def test_a_large_face_outside_the_picture_is_black(shift: tuple[float, float]) -> None:
    picture = np.full((560, 560, 3), 200, np.uint8)
    landmarks = moved(TEMPLATE, degrees=0, scale=5, shift=shift)
    crop = align(picture, landmarks[None], TEMPLATE, 112)[0]
    assert (crop == 0).mean() > 0.95


@pytest.mark.parametrize("scale", [2.0, 3.3, 7.9])
def test_a_large_face_is_about_what_interpolation_gives(scale: float) -> None:
    picture = pattern(300, 400).repeat(4, axis=0).repeat(4, axis=1)
    landmarks = moved(TEMPLATE, degrees=25, scale=scale, shift=(500, 200))
    (transform,) = similarities(landmarks[None], TEMPLATE)
    plain = cv2.warpAffine(picture, transform, (112, 112)).astype(int)
    crop = align(picture, landmarks[None], TEMPLATE, 112)[0]
    assert np.abs(crop[:, :100] - plain[:, :100]).mean() < 2
