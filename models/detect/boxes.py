"""Boxes as arrays: non-maximum suppression, squares, corrections.

A box is x1, y1, x2, y2 in pixels: x runs right, y runs down, and boxes may reach outside the
picture.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats

# Rows of the overlap matrix at a time: the best boxes suppress most others, so that the whole
# matrix is seldom needed, and thousands of proposals need no more memory than a few.
_BLOCK = 128
_ABOVE_DIAGONAL = np.triu(np.ones((_BLOCK, _BLOCK), dtype=bool), k=1)


def suppress(
    boxes: Floats, scores: Floats, limit: float, *, of: Literal["union", "smaller"] = "union"
) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: drop each box that overlaps a better one that is kept.

    Args:
        boxes: (n, 4); n may be 0.
        scores: (n,), higher is better; of equal ones the first counts as better.
        limit: in [0, 1]; boxes overlapping by more than this are the same face.
        of: overlap is the common area divided by this area of the pair. "smaller" counts the
            pixels of both edges, as MTCNN's last stage does.

    Returns:
        (k,) indices of the boxes kept, best first.
    """
    order = np.argsort(-scores, kind="stable")
    sides = np.ascontiguousarray(boxes[order].T)
    kept = []
    while True:
        count = min(len(order), _BLOCK)
        overlapping = _overlapping(sides, count, limit, of)
        best = _greedy(overlapping[:, :count])
        kept.append(order[:count][best])
        if count == len(order):
            return np.concatenate(kept)
        rest = count + np.flatnonzero(~overlapping[best, count:].any(axis=0))
        order, sides = order[rest], sides.take(rest, axis=1)


def _greedy(overlapping: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Which of b boxes, best first, are kept, by their (b, b) overlaps: their indices."""
    kept = [True] * len(overlapping)
    better, worse = np.nonzero(overlapping & _ABOVE_DIAGONAL[: len(kept), : len(kept)])
    for one, other in zip(better.tolist(), worse.tolist(), strict=True):
        if kept[one]:
            kept[other] = False
    return np.flatnonzero(kept)


def _overlapping(
    sides: Floats, count: int, limit: float, of: Literal["union", "smaller"]
) -> NDArray[np.bool_]:
    """(count, n): whether each of the first `count` of n boxes overlaps each by more than `limit`.

    `sides` is (4, n), x1, y1, x2, y2, contiguous: that alone makes this three times faster.
    """
    edge = np.float32(of == "smaller")
    start, end = sides[:2], sides[2:]
    common = np.minimum(end[:, :count, None], end[:, None])
    common -= np.maximum(start[:, :count, None], start[:, None])
    common += edge
    np.maximum(common, 0, out=common)
    shared = common[0] * common[1]
    width, height = end - start + edge
    area = width * height
    if of == "smaller":
        whole = np.minimum(area[:count, None], area)
    else:
        whole = area[:count, None] + area - shared
    return np.asarray(shared > whole * np.float32(limit), np.bool_)


def corrected(boxes: Floats, offsets: Floats, *, edge: float) -> Floats:
    """Move each side by a net's correction.

    Args:
        boxes: (n, 4).
        offsets: (n, 4) in units of the box's width (x) and height (y).
        edge: added to width and height: 1 in stages that count both edges' pixels, else 0.
    """
    sides = boxes[:, 2:] - boxes[:, :2] + edge
    moved: Floats = boxes + offsets * np.concatenate([sides, sides], axis=1)
    return moved


def squares(boxes: Floats) -> Floats:
    """(n, 4): the square about each box's centre with the longer of its sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = np.maximum(sides[:, :1], sides[:, 1:])
    corner = boxes[:, :2] + sides * 0.5 - longest * 0.5
    return np.concatenate([corner, corner + longest], axis=1)


def inside(boxes: Floats, height: int, width: int) -> NDArray[np.intp]:
    """(n, 4): the pixels x1 <= x < x2, y1 <= y < y2 of a picture that a net looks at for a box.

    Coordinates of a box count from 1 and include both edges, and are cut towards 0. Where nothing
    of a box is inside the picture, x2 <= x1 or y2 <= y1.
    """
    whole = boxes.astype(np.intp)
    return np.concatenate(
        [np.maximum(whole[:, :2], 1) - 1, np.minimum(whole[:, 2:], (width, height))], axis=1
    )
