"""The three stages of MTCNN, each judging the boxes that the one before lets through."""

import numpy as np
import onnxruntime as ort

from models.arrays import Floats
from models.detect.area import AreaTable
from models.detect.boxes import corrected, inside, squares, suppress

# P-Net was trained on faces of 12 pixels, and answers for every second pixel of what it is given.
CELL_PX = 12
_STRIDE_PX = 2
_REFINEMENT_PX = 24
_OUTPUT_PX = 48
# Crops given to a net at once, so that a picture of noise with thousands needs no more memory.
_CROPS_AT_ONCE = 64


def propose(
    net: ort.InferenceSession, pixels: AreaTable, scales: list[float], threshold: float
) -> Floats:
    """P-Net over every level of the picture's pyramid.

    Args:
        net: P-Net.
        pixels: the picture.
        scales: of each level by the picture, in (0, 1], so that no side falls below 12 pixels.
        threshold: lowest probability of a face let through.

    Returns:
        (n, 4) square boxes that may hold a face, in pixels of the picture.
    """
    if not scales:
        return np.empty((0, 4), np.float32)
    sizes = [(int(pixels.height * scale + 1), int(pixels.width * scale + 1)) for scale in scales]
    outputs = [net.run(["faces", "offsets"], {"pixels": p}) for p in pixels.levels(sizes)]

    # The cells of all levels in one row, level after level, row after row.
    probabilities = np.concatenate([faces.ravel() for faces, _ in outputs])
    offsets = np.concatenate([moves.reshape(4, -1) for _, moves in outputs], axis=1)
    columns = np.array([faces.shape[3] for faces, _ in outputs])
    ends = np.cumsum([faces.size for faces, _ in outputs])
    starts = np.concatenate([[0], ends])

    found = np.flatnonzero(probabilities >= threshold)
    level = np.searchsorted(ends, found, side="right")
    cell = found - starts[level]
    corner = np.stack([cell % columns[level], cell // columns[level]], axis=1) * _STRIDE_PX
    # One pixel to the right and down of what the cell saw, as the offsets were trained.
    corners = np.concatenate([corner + 1, corner + CELL_PX], axis=1).astype(np.float32)
    boxes = np.floor(corners / np.array(scales, np.float32)[level, None])
    scores = probabilities[found]

    # First within each level: moved far enough apart, boxes of different levels cannot overlap.
    apart = (level * (4 * max(pixels.height, pixels.width))).astype(np.float32)
    kept = suppress(boxes + apart[:, None], scores, 0.5)
    kept = kept[suppress(boxes[kept], scores[kept], 0.7)]
    return squares(corrected(boxes[kept], offsets[:, found[kept]].T, edge=0))


def refine(net: ort.InferenceSession, pixels: AreaTable, boxes: Floats, threshold: float) -> Floats:
    """(n, 4) square boxes: those of (m, 4) that R-Net takes for faces, corrected by it."""
    boxes, (faces, offsets) = _judge(net, {"faces": 1, "offsets": 4}, pixels, boxes, _REFINEMENT_PX)
    passed = np.flatnonzero(faces[:, 0] > threshold)
    kept = passed[suppress(boxes[passed], faces[passed, 0], 0.7)]
    return squares(corrected(boxes[kept], offsets[kept], edge=1))


def finish(
    net: ort.InferenceSession, pixels: AreaTable, boxes: Floats, threshold: float
) -> tuple[Floats, Floats, Floats]:
    """Boxes (n, 4), landmarks (n, 5, 2), scores (n,): those of (m, 4) O-Net takes for faces."""
    outputs = {"faces": 1, "offsets": 4, "landmarks": 10}
    boxes, (faces, offsets, points) = _judge(net, outputs, pixels, boxes, _OUTPUT_PX)
    passed = np.flatnonzero(faces[:, 0] > threshold)
    boxes, scores = boxes[passed], faces[passed, 0]
    corner, sides = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2] + 1
    landmarks = corner - 1 + sides * points[passed].reshape(-1, 2, 5).transpose(0, 2, 1)
    boxes = corrected(boxes, offsets[passed], edge=1)
    kept = suppress(boxes, scores, 0.7, of="smaller")
    return boxes[kept], landmarks[kept], scores[kept]


def _judge(
    net: ort.InferenceSession,
    outputs: dict[str, int],
    pixels: AreaTable,
    boxes: Floats,
    side_px: int,
) -> tuple[Floats, list[Floats]]:
    """The boxes that touch the picture, and a net's outputs, by name and width, for their crops."""
    windows = inside(boxes, pixels.height, pixels.width)
    touching = np.flatnonzero((windows[:, 2:] > windows[:, :2]).all(axis=1))
    parts = [[np.empty((0, width), np.float32) for width in outputs.values()]]
    for start in range(0, len(touching), _CROPS_AT_ONCE):
        crops = pixels.crops(windows[touching[start : start + _CROPS_AT_ONCE]], side_px)
        parts.append(net.run(list(outputs), {"pixels": crops}))
    return boxes[touching], [np.concatenate(output) for output in zip(*parts, strict=True)]
