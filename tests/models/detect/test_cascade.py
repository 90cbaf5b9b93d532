"""What the stages do with boxes that the stage before seldom hands them."""

import numpy as np

from models.detect import DetectorNets
from models.detect.area import AreaTable
from models.detect.cascade import finish, propose, refine
from tests.models.detect.pictures import DATA, read


def test_boxes_outside_the_picture_are_dropped(nets: DetectorNets) -> None:
    table = AreaTable.of(read(DATA / "astronaut.jpg"))
    face = np.array([[165, 45, 285, 165]], np.float32)
    outside = np.array([[600, 10, 700, 110], [-90, 5, -10, 85], [50, -200, 90, -160]], np.float32)
    both = np.concatenate([outside[:1], face, outside[1:]])
    np.testing.assert_array_equal(
        refine(nets.refinement, table, both, 0.7), refine(nets.refinement, table, face, 0.7)
    )
    for got, alone in zip(
        finish(nets.output, table, both, 0.7), finish(nets.output, table, face, 0.7), strict=True
    ):
        assert len(alone) == 1
        np.testing.assert_array_equal(got, alone)


def test_crops_are_judged_alike_in_any_company(nets: DetectorNets) -> None:
    table = AreaTable.of(read(DATA / "astronaut.jpg"))
    face = np.array([[165, 45, 285, 165]], np.float32)
    elsewhere = np.array([[x, 300, x + 90, 390] for x in range(0, 400, 2)], np.float32)
    many = np.concatenate([elsewhere, face])
    boxes, _, scores = finish(nets.output, table, many, 0.9)
    alone, _, score = finish(nets.output, table, face, 0.9)
    np.testing.assert_allclose(boxes, alone, atol=1e-3)
    np.testing.assert_allclose(scores, score, atol=1e-5)


def test_no_levels_and_no_boxes_give_none(nets: DetectorNets) -> None:
    table = AreaTable.of(np.zeros((16, 16, 3), np.uint8))
    boxes = propose(nets.proposal, table, [], 0.6)
    assert boxes.shape == (0, 4)
    assert refine(nets.refinement, table, boxes, 0.7).shape == (0, 4)
    shapes = [array.shape for array in finish(nets.output, table, boxes, 0.7)]
    assert shapes == [(0, 4), (0, 5, 2), (0,)]
