"""How far a face can be relied on: a score, and what is wrong with it.

The same measures serve enrolment and search. Each aspect of a face has a ramp from useless (0) to
as good as it gets (1). The score is that of the weakest aspect, and every aspect below one half is
a reason, so that a score of at least one half and an empty list of reasons are the same thing.

The ramps were set on LFW with the default embedder: an aspect reaches 1 where further improvement
no longer brings mated cosines up, and has lost a half where it has cost about a tenth of them.
Brightness is stricter than that, since detection and the eye suffer before the embedder does.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.detect import Detections

Reason = Literal[
    "face_too_small",
    "blurred",
    "too_dark",
    "too_bright",
    "low_contrast",
    "turned_away",
    "tilted",
]

ENROLLABLE_SCORE = 0.1
"""Faces below are not worth enrolling. None of LFW's 5,749 first pictures is below, the worst has
0.12; three quarters of them would be after a blur of 3 px, all of them at a face width of 16 px."""


@dataclass(frozen=True)
class Quality:
    """What was measured on one face."""

    score: float
    """0-1, higher is better."""
    reasons: tuple[Reason, ...]
    """What is wrong, worst first; empty from a score of 0.5 on."""
    size_px: float
    """Shorter side of the face's box in the picture."""
    sharpness: float
    """Energy of detail a fortieth of the face wide over that of twice as coarse detail; at most
    about 1. Ordinary pictures have 0.23-0.49. It does not depend on brightness or contrast."""
    brightness: float
    """0-1: the grey level that the brightest twentieth of the face reaches. Other than the mean,
    it is as high for dark skin as for fair."""
    clipped: float
    """0-1: share of the face that is white without any detail left."""
    contrast: float
    """0-1: between the darkest and the brightest twentieth, relative to the brightest."""
    yaw_degrees: float
    """Positive when the nose points to larger x; an estimate from five points."""
    pitch_degrees: float
    """Positive when looking up; likewise."""
    roll_degrees: float
    """-180 to 180, positive when turned clockwise in the picture."""


def assess(detections: Detections, crops: NDArray[np.uint8]) -> tuple[Quality, ...]:
    """Assess each face of a picture.

    Args:
        detections: n faces, n may be 0.
        crops: (n, S, S, 3) uint8 RGB, the same faces aligned.

    Returns:
        n qualities, in the same order.
    """
    sides = detections.boxes[:, 2:] - detections.boxes[:, :2]
    poses = head_poses(detections.landmarks)
    return tuple(
        _quality(float(size), crop, *pose)
        for size, crop, pose in zip(sides.min(axis=1), crops, poses.tolist(), strict=True)
    )


# How far the tip of the nose stands out before eyes and mouth, and how far the eyes are apart, in
# units of the height from mouth to eyes; and how far down that height the tip is in a frontal face.
# Medians of LFW; the first from how much nearer the eyes come as the nose moves sideways.
_NOSE_DEPTH = 0.5
_EYE_DISTANCE = 0.925
_NOSE_HEIGHT = 0.537


def head_poses(landmarks: Floats) -> NDArray[np.float64]:
    """Estimate where each face looks from the place of its nose between eyes and mouth.

    Args:
        landmarks: (n, 5, 2) as (x, y): left eye, right eye, nose, mouth left, mouth right.

    Returns:
        (n, 3) yaw, pitch, roll in degrees, as `Quality` has them. Yaw and pitch are within about
        10 degrees for an ordinary face and grow unreliable beyond 60.
    """
    points = landmarks.astype(np.float64) @ (1, 1j)  # (n, 5)
    left_eye, right_eye, nose = points[:, 0], points[:, 1], points[:, 2]
    across = right_eye - left_eye
    eyes, mouth = (left_eye + right_eye) / 2, points[:, 3:].mean(axis=1)
    # Seen upright: turned back so that the eyes are level.
    turn = np.exp(-1j * np.angle(across))
    height = np.maximum(((mouth - eyes) * turn).imag, 1e-9)
    sideways = ((nose - (eyes + mouth) / 2) * turn).real / _NOSE_DEPTH
    yaw = np.arctan2(sideways, np.abs(across) / _EYE_DISTANCE)
    lowered = ((nose - eyes) * turn).imag / height - _NOSE_HEIGHT
    pitch = -np.arctan(lowered / _NOSE_DEPTH)
    poses: NDArray[np.float64] = np.degrees(np.stack((yaw, pitch, np.angle(across)), axis=1))
    return poses


_FACE_ROWS = (0.2, 0.91)
_FACE_COLUMNS = (0.14, 0.86)
"""The part of a crop that is face whoever it is: brow to chin, cheek to cheek."""
_FINE_PX = 40
_COARSE_PX = 20
_CLIPPED_LEVEL = 250


def _quality(
    size_px: float, crop: NDArray[np.uint8], yaw: float, pitch: float, roll: float
) -> Quality:
    side_px = len(crop)
    top, bottom = (round(share * side_px) for share in _FACE_ROWS)
    left, right = (round(share * side_px) for share in _FACE_COLUMNS)
    face = cv2.cvtColor(crop[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    # Of the face in little, so that a few bright pixels do not count.
    small = cv2.resize(face, (_FINE_PX, _FINE_PX), interpolation=cv2.INTER_AREA)
    twentieth = small.size // 20
    levels = np.partition(small, (twentieth, -twentieth), axis=None)
    darkest, brightest = float(levels[twentieth]), float(levels[-twentieth])
    sharpness = _sharpness(face.astype(np.float32))
    clipped = float(np.count_nonzero(face >= _CLIPPED_LEVEL)) / face.size
    contrast = (brightest - darkest) / max(brightest, 1)
    aspects: dict[Reason, float] = {
        "face_too_small": _ramp(size_px, 12, 60),
        "blurred": _ramp(sharpness, 0.09, 0.24),
        "too_dark": _ramp(brightest, 40, 95),
        "too_bright": _ramp(clipped, 0.75, 0.15),
        "low_contrast": _ramp(contrast, 0.1, 0.4),
        "turned_away": min(_ramp(abs(yaw), 70, 30), _ramp(abs(pitch), 60, 30)),
        "tilted": _ramp(abs(roll), 75, 30),
    }
    worst_first = sorted(aspects, key=lambda reason: aspects[reason])
    return Quality(
        score=aspects[worst_first[0]],
        reasons=tuple(reason for reason in worst_first if aspects[reason] < 0.5),
        size_px=size_px,
        sharpness=sharpness,
        brightness=brightest / 255,
        clipped=clipped,
        contrast=contrast,
        yaw_degrees=yaw,
        pitch_degrees=pitch,
        roll_degrees=roll,
    )


_NOISE = 20.0
"""Detail, in squared grey levels, that rounding and compression leave where there is none. Ordinary
faces have some 2,000. Without it a face blurred beyond recognition would seem sharp."""


def _sharpness(face: Floats) -> float:
    """Blur takes fine detail before coarse, whatever the light and the face."""
    fine = cv2.resize(face, (_FINE_PX, _FINE_PX), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(fine, (_COARSE_PX, _COARSE_PX), interpolation=cv2.INTER_AREA)
    return _detail(fine) / (_detail(coarse) + _NOISE)


def _detail(levels: NDArray[np.floating | np.integer]) -> float:
    """Mean square of how far each value is from its four neighbours'."""
    laplacian = cv2.Laplacian(levels, cv2.CV_32F)[1:-1, 1:-1]
    return float(np.square(laplacian).mean())


def _ramp(value: float, useless: float, good: float) -> float:
    """0 at `useless`, 1 at `good`, a straight line between; either may be the larger."""
    return min(max((value - useless) / (good - useless), 0.0), 1.0)
