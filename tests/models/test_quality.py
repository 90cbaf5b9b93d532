from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from models.align import align
from models.arrays import Floats, Picture
from models.decode import DecodeLimits, decode
from models.detect import Detections, DetectorNets, DetectorSettings, detect
from models.quality import ENROLLABLE_SCORE, Quality, Reason, assess, head_poses
from models.weights import DEFAULT_EMBEDDER, MTCNN_FOLDER
from models.zoo import read_manifest

PICTURES = Path(__file__).parents[1] / "data"
TEMPLATE = read_manifest(DEFAULT_EMBEDDER).template


@pytest.fixture(scope="module")
def nets() -> DetectorNets:
    return DetectorNets.open(MTCNN_FOLDER)


@pytest.fixture(scope="module", params=["obama", "obama2", "obama3", "biden", "astronaut"])
def face(request: pytest.FixtureRequest, nets: DetectorNets) -> tuple[Picture, Detections]:
    """A good portrait, scaled so that its face is 93 px wide as in LFW, and its largest face."""
    picture = decode((PICTURES / f"{request.param}.jpg").read_bytes(), DecodeLimits())
    found = detect(nets, picture, DetectorSettings())
    factor = 93 / (found.boxes[0, 2] - found.boxes[0, 0])
    size = [round(side * factor) for side in picture.shape[1::-1]]
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    small = cv2.resize(picture, size, interpolation=way)
    one = Detections(
        boxes=found.boxes[:1] * factor,
        landmarks=found.landmarks[:1] * factor,
        scores=found.scores[:1],
    )
    return np.asarray(small, np.uint8), one


def quality(picture: NDArray[np.uint8], face: Detections, *, scale: float = 1.0) -> Quality:
    """The quality of the one face; `scale` says how large it is told to be in its own picture."""
    crops = align(picture, face.landmarks, TEMPLATE, 112)
    told = Detections(face.boxes * np.float32(scale), face.landmarks, face.scores)
    (result,) = assess(told, crops)
    return result


def shrunk(picture: Picture, factor: float) -> NDArray[np.uint8]:
    """The picture with the detail of a smaller one."""
    height, width = picture.shape[:2]
    small = cv2.resize(
        picture, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(small, (width, height)), np.uint8)


def scaled(picture: Picture, factor: float, offset: float = 0) -> NDArray[np.uint8]:
    """The picture with other grey levels, cut off at black and white."""
    return (picture.astype(np.float32) * factor + offset).clip(0, 255).astype(np.uint8)


def blurred(picture: Picture, sigma_px: float) -> NDArray[np.uint8]:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma_px), np.uint8)


def test_good_portraits_score_well(face: tuple[Picture, Detections]) -> None:
    result = quality(*face)
    assert result.score > 0.8
    assert result.reasons == ()
    assert 0.2 < result.sharpness < 1
    assert 0.4 < result.brightness <= 1
    assert result.clipped < 0.1
    assert 0.4 < result.contrast <= 1


@pytest.mark.parametrize(
    ("worsen", "reason", "below"),
    [
        pytest.param(lambda p: blurred(p, 3), "blurred", 0.3, id="blur-3-px"),
        pytest.param(lambda p: scaled(p, 0.3), "too_dark", 0.5, id="dark"),
        pytest.param(lambda p: scaled(p, 3), "too_bright", 0.5, id="bright"),
        pytest.param(lambda p: scaled(p, 0.15, 110), "low_contrast", 0.5, id="haze"),
    ],
)
def test_a_worse_picture_scores_low_and_says_why(
    face: tuple[Picture, Detections], worsen: object, reason: Reason, below: float
) -> None:
    assert callable(worsen)
    picture, detections = face
    result = quality(worsen(picture), detections)
    assert result.score < below
    assert reason in result.reasons


def test_a_face_of_24_px_scores_low(face: tuple[Picture, Detections]) -> None:
    picture, detections = face
    result = quality(shrunk(picture, 24 / 93), detections, scale=24 / 93)
    assert result.score < 0.3
    assert result.size_px == pytest.approx(24, abs=1)
    assert "face_too_small" in result.reasons


def test_more_blur_is_less_sharp_at_any_brightness_and_contrast(
    face: tuple[Picture, Detections],
) -> None:
    picture, detections = face
    steps = [picture, *(blurred(picture, sigma_px) for sigma_px in (1, 2, 3, 5, 8, 15))]
    sharpness = [quality(step, detections).sharpness for step in steps]
    assert sharpness == sorted(sharpness, reverse=True)
    dim = quality(scaled(picture, 0.5, 40), detections).sharpness
    assert dim == pytest.approx(sharpness[0], rel=0.05)


def test_what_is_not_worth_enrolling_is_below_the_floor(face: tuple[Picture, Detections]) -> None:
    picture, detections = face
    for useless in (blurred(picture, 6), scaled(picture, 0.1), scaled(picture, 0, 128)):
        assert quality(useless, detections).score < ENROLLABLE_SCORE
    assert quality(picture, detections, scale=0.17).score < ENROLLABLE_SCORE


def test_a_darker_skin_is_not_a_darker_picture(face: tuple[Picture, Detections]) -> None:
    # Most of the face at half the light, eyes, teeth and highlights as they were.
    picture, detections = face
    grey = picture.mean(axis=2, keepdims=True)
    dark = np.where(grey < np.percentile(grey, 90), picture * 0.5, picture).astype(np.uint8)
    assert "too_dark" not in quality(dark, detections).reasons


def test_a_score_of_a_half_and_a_reason_exclude_each_other(
    face: tuple[Picture, Detections],
) -> None:
    picture, detections = face
    for factor in np.linspace(0.05, 3, 60):
        result = quality(scaled(picture, float(factor)), detections)
        assert 0 <= result.score <= 1
        assert (result.score < 0.5) == bool(result.reasons)
        assert set(result.reasons) <= set(get_args(Reason))


def turned(yaw: float, pitch: float, roll: float) -> Floats:
    """Landmarks of a head of average shape turned by these angles in degrees, from far away."""
    # x to the right, y down, z towards the camera; in units of the height from mouth to eyes.
    half = 0.925 / 2
    head = np.array(
        [[-half, -0.5, 0], [half, -0.5, 0], [0, 0.037, 0.5], [-0.4, 0.5, 0], [0.4, 0.5, 0]]
    )
    a, b, c = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    points = head @ (about_z @ about_x @ about_y).T
    landmarks: Floats = (points[:, :2] * 80 + (300, 200)).astype(np.float32)
    return landmarks


@pytest.mark.parametrize("roll", [-170, -90, -20, 0, 35, 120])
@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (25, 0), (-40, 0), (0, 20), (0, -30)])
def test_poses_of_a_turned_head_are_found(yaw: float, pitch: float, roll: float) -> None:
    (found,) = head_poses(turned(yaw, pitch, roll)[None])
    np.testing.assert_allclose(found, (yaw, pitch, roll), atol=3)


def test_both_turns_at_once_are_found_roughly() -> None:
    (found,) = head_poses(turned(30, -20, 10)[None])
    np.testing.assert_allclose(found, (30, -20, 10), atol=12)


def test_faces_looking_at_the_camera_have_small_angles(face: tuple[Picture, Detections]) -> None:
    result = quality(*face)
    assert abs(result.yaw_degrees) < 25
    assert abs(result.pitch_degrees) < 25
    assert abs(result.roll_degrees) < 20


@pytest.mark.parametrize(
    ("angles", "reason"), [((65, 0, 0), "turned_away"), ((0, 55, 0), "turned_away"),
                           ((0, 0, 80), "tilted"), ((0, 0, 180), "tilted")]
)  # fmt: skip
def test_turned_and_tilted_faces_say_so(
    face: tuple[Picture, Detections], angles: tuple[float, float, float], reason: Reason
) -> None:
    picture, detections = face
    crops = align(picture, detections.landmarks, TEMPLATE, 112)
    (result,) = assess(
        Detections(detections.boxes, turned(*angles)[None], detections.scores), crops
    )
    assert result.reasons == (reason,)
    assert result.score < 0.5


def test_no_faces_give_no_qualities() -> None:
    none = Detections(
        np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
    )
    assert assess(none, np.zeros((0, 112, 112, 3), np.uint8)) == ()


def test_each_face_is_assessed_as_if_it_were_alone(face: tuple[Picture, Detections]) -> None:
    picture, one = face
    both = Detections(
        np.concatenate((one.boxes, one.boxes / 4)),
        np.concatenate((one.landmarks, turned(40, 0, 0)[None])),
        np.concatenate((one.scores, one.scores)),
    )
    crops = align(picture, both.landmarks, TEMPLATE, 112)
    together = assess(both, crops)
    for index, result in enumerate(together):
        at = slice(index, index + 1)
        alone = assess(Detections(both.boxes[at], both.landmarks[at], both.scores[at]), crops[at])
        assert alone == (result,)


def test_crops_of_another_embedders_size_give_about_the_same(
    face: tuple[Picture, Detections],
) -> None:
    picture, detections = face
    larger = align(picture, detections.landmarks, TEMPLATE * np.float32(160 / 112), 160)
    (result,) = assess(detections, larger)
    usual = quality(picture, detections)
    assert result.score == pytest.approx(usual.score, abs=0.1)
    assert result.brightness == pytest.approx(usual.brightness, abs=0.05)
    assert result.sharpness == pytest.approx(usual.sharpness, rel=0.25)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_patch_is_useless_and_not_an_error(level: int) -> None:
    flat = np.full((1, 112, 112, 3), level, np.uint8)
    one = Detections(
        np.array([[0, 0, 90, 120]], np.float32), turned(0, 0, 0)[None], np.ones(1, np.float32)
    )
    (result,) = assess(one, flat)
    assert result.score == 0
    assert np.isfinite([result.sharpness, result.contrast, result.brightness]).all()
