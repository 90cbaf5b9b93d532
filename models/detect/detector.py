"""MTCNN on ONNX Runtime: settings, nets, and `detect`.

Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks"
(2016), with the weights and, to the pixel, the geometry of facenet-pytorch, so that its results are
found again.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from models.arrays import Floats, Picture
from models.detect.area import AreaTable
from models.detect.cascade import CELL_PX, finish, propose, refine
from models.runtime import Provider, open_session


@dataclass(frozen=True)
class DetectorSettings:
    """What can be turned.

    smallest_face_px: side of the smallest face looked for, in pixels of the original picture.
    thresholds: lowest probability of a face let through by P-, R- and O-Net, each in [0, 1].
    pyramid_factor: size of each pyramid level by the one before, in (0, 1).
    longest_side_px: larger pictures are reduced to this for detection. No face smaller than 12
        pixels of the reduced picture can be found.
    """

    smallest_face_px: int = 40
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    pyramid_factor: float = 0.709
    longest_side_px: int = 1280

    def __post_init__(self) -> None:
        if self.smallest_face_px < CELL_PX:
            raise ValueError(f"smallest_face_px must be at least {CELL_PX}")
        if not 0 < self.pyramid_factor < 1:
            raise ValueError("pyramid_factor must be between 0 and 1")
        if self.longest_side_px < CELL_PX:
            raise ValueError(f"longest_side_px must be at least {CELL_PX}")


@dataclass(frozen=True)
class Detections:
    """The faces of one picture, largest box first; there may be none.

    boxes: (n, 4) x1, y1, x2, y2 in pixels of the original picture; a face at the border can reach
        outside it.
    landmarks: (n, 5, 2) (x, y) likewise: left eye, right eye, nose, mouth left, mouth right, where
        left has the smaller x in an upright face.
    scores: (n,) probability of a face, in (0, 1].
    """

    boxes: Floats
    landmarks: Floats
    scores: Floats

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class DetectorNets:
    """The three nets, opened."""

    proposal: ort.InferenceSession
    refinement: ort.InferenceSession
    output: ort.InferenceSession

    @classmethod
    def open(cls, folder: Path, *, provider: Provider = "cpu", threads: int = 1) -> "DetectorNets":
        """Open pnet.onnx, rnet.onnx and onet.onnx of a folder; raises as `open_session` does."""
        names = ("pnet.onnx", "rnet.onnx", "onet.onnx")
        return cls(*(open_session(folder / n, provider=provider, threads=threads) for n in names))


def detect(nets: DetectorNets, picture: Picture, settings: DetectorSettings) -> Detections:
    """Find the faces of a picture.

    Args:
        nets: from `DetectorNets.open`; may be used by several threads at once.
        picture: (H, W, 3) uint8 RGB of any size from 1x1; it is not changed.
        settings: see there.
    """
    reduced = _reduced(picture, settings.longest_side_px)
    smallest_px = settings.smallest_face_px * max(reduced.shape[:2]) / max(picture.shape[:2])
    scales = _scales(min(reduced.shape[:2]), max(smallest_px, CELL_PX), settings.pyramid_factor)

    pixels = AreaTable.of(reduced)
    boxes = propose(nets.proposal, pixels, scales, settings.thresholds[0])
    boxes = refine(nets.refinement, pixels, boxes, settings.thresholds[1])
    boxes, landmarks, scores = finish(nets.output, pixels, boxes, settings.thresholds[2])

    ratio = np.divide(picture.shape[1::-1], reduced.shape[1::-1], dtype=np.float32)
    sides = boxes[:, 2:] - boxes[:, :2]
    order = np.argsort(-sides[:, 0] * sides[:, 1], kind="stable")
    return Detections(
        boxes=boxes[order] * np.concatenate([ratio, ratio]),
        landmarks=landmarks[order] * ratio,
        scores=scores[order],
    )


def _reduced(picture: Picture, longest_side_px: int) -> Picture:
    """The picture itself, or a copy with its longest side reduced to `longest_side_px`."""
    height, width = picture.shape[:2]
    ratio = longest_side_px / max(height, width)
    if ratio >= 1:
        return picture
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _scales(shortest_side: int, smallest_px: float, factor: float) -> list[float]:
    """Sizes of the pyramid's levels by the picture's own, largest first, down to one P-Net cell."""
    scale = CELL_PX / smallest_px
    side = shortest_side * scale
    scales = []
    while side >= CELL_PX:
        scales.append(scale)
        scale *= factor
        side *= factor
    return scales
