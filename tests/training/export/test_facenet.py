"""The stand-in for torchvision's suppression against one box at a time."""

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.mark.torch
@pytest.mark.parametrize("count", [0, 1, 60])
def test_batched_nms_suppresses_within_each_group(count: int) -> None:
    import torch

    from training.export.facenet import batched_nms

    rng = np.random.default_rng(count)
    corner = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 50, (count, 2))], axis=1)
    scores, groups = rng.uniform(size=count), rng.integers(0, 3, count)
    kept: list[int] = []
    for index in np.argsort(-scores).tolist():
        rivals = [k for k in kept if groups[k] == groups[index]]
        if all(overlap(boxes[index], boxes[k]) <= 0.5 for k in rivals):
            kept.append(index)
    found = batched_nms(
        torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(groups), 0.5
    )
    assert found.tolist() == kept


def overlap(box: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    width, height = (np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])).clip(min=0)
    areas = np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])
    return float(width * height / (areas - width * height))
