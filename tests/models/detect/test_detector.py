"""`detect` against facenet-pytorch's own results, and on pictures that could break it."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from models.arrays import Floats, Picture
from models.detect import Detections, DetectorNets, DetectorSettings, detect
from tests.models.detect.pictures import DATA, GOLDEN, overlap, read

RUNS = json.loads((GOLDEN / "golden.json").read_text())["runs"]


def same_face(box: Floats, landmarks: Floats, found: Detections) -> bool:
    """Whether one of the faces found has this box, and landmarks within 3 % of its width."""
    width = box[2] - box[0]
    return any(
        overlap(box, other) >= 0.9 and np.abs(landmarks - points).max() <= 0.03 * width
        for other, points in zip(found.boxes, found.landmarks, strict=True)
    )


def test_finds_what_facenet_pytorch_finds(nets: DetectorNets) -> None:
    # All runs together, so that 1 % is more than no face at all: where P-Net is so sure that scores
    # differ by rounding only, one candidate or the other comes first, in facenet-pytorch too.
    sure, missed, theirs, ours = 0, [], 0, 0
    for run in RUNS:
        thresholds = tuple(run["settings"]["thresholds"])
        # facenet-pytorch never reduces a picture.
        settings = DetectorSettings(
            **run["settings"] | {"thresholds": thresholds, "longest_side_px": 10_000}
        )
        assert len(run["faces"]) >= 40
        for name, faces in run["faces"].items():
            found = detect(nets, read(GOLDEN / name), settings)
            theirs += len(faces)
            ours += len(found)
            for face in faces:
                if face["score"] >= 0.9:
                    sure += 1
                    box, marks = (np.array(face[key], np.float32) for key in ("box", "landmarks"))
                    if not same_face(box, marks, found):
                        missed.append((name, face["box"]))
    assert sure > 200
    assert len(missed) <= 0.01 * sure, missed
    # Nor does it find more, of the unsure ones either.
    assert ours == pytest.approx(theirs, rel=0.02)


def test_the_largest_face_comes_first(nets: DetectorNets) -> None:
    found = detect(nets, read(GOLDEN / "group-everything-240.jpg"), DetectorSettings())
    areas = np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1)
    assert len(found) == 7
    assert (np.diff(areas) <= 0).all()


def test_results_have_the_shapes_promised(nets: DetectorNets) -> None:
    for name, count in (("obama.jpg", 1), ("cat.jpg", 0)):
        found = detect(nets, read(DATA / name), DetectorSettings())
        assert len(found) == count
        assert found.boxes.shape == (count, 4)
        assert found.landmarks.shape == (count, 5, 2)
        assert found.scores.shape == (count,)
        assert {a.dtype.name for a in (found.boxes, found.landmarks, found.scores)} == {"float32"}


def test_landmarks_lie_where_they_are_named(nets: DetectorNets) -> None:
    found = detect(nets, read(DATA / "biden.jpg"), DetectorSettings())
    left_eye, right_eye, nose, mouth_left, mouth_right = found.landmarks[0]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert mouth_left[0] < nose[0] < mouth_right[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(mouth_left[1], mouth_right[1])


def test_a_reduced_picture_gives_boxes_in_its_own_pixels(nets: DetectorNets) -> None:
    picture = read(DATA / "obama.jpg")
    size = (picture.shape[1] * 3, picture.shape[0] * 3)
    enlarged = np.asarray(cv2.resize(picture, size), np.uint8)
    (box,) = detect(nets, picture, DetectorSettings()).boxes
    # 120 pixels of the enlarged picture are 40 of this one.
    settings = DetectorSettings(smallest_face_px=120, longest_side_px=960)
    found = detect(nets, enlarged, settings)
    assert len(found) == 1
    assert overlap(found.boxes[0], box * 3) > 0.9
    assert ((found.landmarks[0] > box[:2] * 3) & (found.landmarks[0] < box[2:] * 3)).all()


def test_the_smallest_face_is_measured_in_the_original(nets: DetectorNets) -> None:
    picture = read(DATA / "obama.jpg")  # its face is about 220 by 300 pixels
    for longest_side_px in (1280, 480):
        for smallest_face_px, count in ((150, 1), (700, 0)):
            settings = DetectorSettings(
                smallest_face_px=smallest_face_px, longest_side_px=longest_side_px
            )
            assert len(detect(nets, picture, settings)) == count


def test_no_level_is_larger_than_the_reduced_picture(nets: DetectorNets) -> None:
    picture = read(GOLDEN / "group-grid.jpg")
    # A third of its size: a smallest face of 36 pixels is then P-Net's cell of 12.
    longest_side_px = picture.shape[1] // 3
    found = [
        detect(
            nets,
            picture,
            DetectorSettings(smallest_face_px=px, longest_side_px=longest_side_px),
        )
        for px in (12, 20, 36)
    ]
    assert len(found[0]) > 0
    for smaller in found[:2]:
        np.testing.assert_allclose(smaller.boxes, found[2].boxes, atol=1)


def noise(height: int, width: int) -> Picture:
    rng = np.random.default_rng(1)
    grey = rng.integers(0, 256, (height, width, 1), dtype=np.uint8)
    return np.repeat(grey, 3, axis=2)


def is_sound(found: Detections) -> bool:
    shapes = (found.boxes.shape, found.landmarks.shape, found.scores.shape)
    finite = all(np.isfinite(a).all() for a in (found.boxes, found.landmarks, found.scores))
    return finite and shapes == ((len(found), 4), (len(found), 5, 2), (len(found),))


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(np.zeros((1, 1, 3), np.uint8), id="1x1"),
        pytest.param(noise(16, 16), id="16x16"),
        pytest.param(noise(20, 20), id="one-cell"),
        pytest.param(noise(12, 3000), id="strip"),
        pytest.param(noise(3000, 1), id="one-pixel-wide"),
        pytest.param(noise(700, 900), id="noise"),
        pytest.param(np.full((4000, 5000, 3), 200, np.uint8), id="20-megapixels"),
    ],
)
def test_a_picture_without_a_face_has_none(nets: DetectorNets, picture: Picture) -> None:
    found = detect(nets, picture, DetectorSettings(smallest_face_px=20))
    assert len(found) == 0
    assert is_sound(found)


@pytest.mark.parametrize("size", [(20, 20), (61, 90), (90, 40)])
def test_hundreds_of_crops_at_the_border_do_no_harm(
    nets: DetectorNets, size: tuple[int, int]
) -> None:
    # Thresholds of 0 let everything through, and every net see crops from all over the picture.
    settings = DetectorSettings(smallest_face_px=12, thresholds=(0.0, 0.0, 0.0))
    found = detect(nets, noise(*size), settings)
    assert len(found) > 0
    assert is_sound(found)


def test_the_picture_is_not_changed_and_need_not_be_contiguous(nets: DetectorNets) -> None:
    mirrored = read(DATA / "astronaut.jpg")[:, ::-1]
    before = mirrored.copy()
    mirrored.flags.writeable = False
    view, copy = (detect(nets, p, DetectorSettings()) for p in (mirrored, before))
    np.testing.assert_array_equal(mirrored, before)
    np.testing.assert_array_equal(view.boxes, copy.boxes)
    assert len(view) == 1


def test_threads_may_share_the_nets(nets: DetectorNets) -> None:
    pictures = [read(path) for path in sorted(GOLDEN.glob("group-*.jpg"))]
    one = [detect(nets, p, DetectorSettings()).boxes for p in pictures]
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(lambda p: detect(nets, p, DetectorSettings()).boxes, pictures))
    for alone, shared in zip(one, many, strict=True):
        np.testing.assert_array_equal(alone, shared)


@pytest.mark.parametrize(
    "wrong",
    [
        {"smallest_face_px": 11},
        {"longest_side_px": 11},
        {"pyramid_factor": 1.0},
        {"pyramid_factor": 0.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        DetectorSettings(**wrong)


def test_missing_nets_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"pnet\.onnx"):
        DetectorNets.open(tmp_path)
