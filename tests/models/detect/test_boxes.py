"""Box arithmetic against one box at a time."""

from typing import Literal

import numpy as np
import pytest

from models.arrays import Floats
from models.detect.boxes import corrected, inside, squares, suppress

Of = Literal["union", "smaller"]


def random_boxes(count: int, seed: int) -> tuple[Floats, Floats]:
    """Boxes and scores: crowded, some equal, some of equal scores."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(-10, 60, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(8, 50, (count, 2))], axis=1)
    scores = rng.integers(0, max(2, count // 2), count) / 1000
    return boxes.astype(np.float32), scores.astype(np.float32)


def one_by_one(boxes: Floats, scores: Floats, limit: float, of: Of) -> list[int]:
    """Greedy suppression as one would write it down."""
    edge = 1.0 if of == "smaller" else 0.0
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        for better in kept:
            a, b = boxes[index].astype(float), boxes[better].astype(float)
            width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + edge)
            height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + edge)
            areas = [(c[2] - c[0] + edge) * (c[3] - c[1] + edge) for c in (a, b)]
            common = width * height
            whole = min(areas) if of == "smaller" else sum(areas) - common
            if common > limit * whole:
                break
        else:
            kept.append(index)
    return kept


@pytest.mark.parametrize("of", ["union", "smaller"])
@pytest.mark.parametrize("limit", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("count", [0, 1, 2, 30, 127, 128, 129, 700])
def test_suppression_agrees_with_one_box_at_a_time(count: int, limit: float, of: Of) -> None:
    boxes, scores = random_boxes(count, seed=count)
    assert suppress(boxes, scores, limit, of=of).tolist() == one_by_one(boxes, scores, limit, of)


def test_a_suppressed_box_suppresses_nothing() -> None:
    chain = np.array([[x, 0, x + 10, 10] for x in (0, 4, 8)], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert suppress(chain, scores, 0.4).tolist() == [0, 2]


def test_boxes_that_overlap_by_just_the_limit_both_stay() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float32)
    assert len(suppress(boxes, np.array([0.9, 0.8], np.float32), 0.5)) == 2


@pytest.mark.parametrize("edge", [0, 1])
def test_corrections_are_in_units_of_the_sides(edge: float) -> None:
    boxes, _ = random_boxes(9, seed=1)
    offsets = np.random.default_rng(2).normal(0, 0.2, (9, 4)).astype(np.float32)
    for box, offset, moved in zip(
        boxes, offsets, corrected(boxes, offsets, edge=edge), strict=True
    ):
        width, height = box[2] - box[0] + edge, box[3] - box[1] + edge
        slow = box + offset * np.array([width, height, width, height])
        np.testing.assert_allclose(moved, slow, atol=1e-4)


def test_squares_keep_the_centre_and_the_longer_side() -> None:
    boxes, _ = random_boxes(9, seed=3)
    for box, square in zip(boxes, squares(boxes), strict=True):
        side = max(box[2] - box[0], box[3] - box[1])
        np.testing.assert_allclose(square[2:] - square[:2], [side, side], atol=1e-4)
        np.testing.assert_allclose(square[:2] + square[2:], box[:2] + box[2:], atol=1e-4)


def test_windows_count_from_one_and_stop_at_the_border() -> None:
    boxes = np.array(
        [[5.9, 6.2, 20.7, 30.1], [-8, 0.4, 500, 70.9], [90, 10, 120, 30], [1, 1, 1, 1]], np.float32
    )
    assert inside(boxes, height=60, width=80).tolist() == [
        [4, 5, 20, 30],
        [0, 0, 80, 60],
        [89, 9, 80, 30],  # beyond the right border: nothing left of it
        [0, 0, 1, 1],
    ]
