"""facenet-pytorch, imported without torchvision.

The package asks for an old torchvision, but of all it imports only `batched_nms` runs on the paths
used here (its detector), so this module offers that name in torchvision's place where torchvision
is not installed.
"""

import importlib
import importlib.util
import sys
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch


@cache
def facenet_pytorch() -> ModuleType:
    """The package `facenet_pytorch`, whether or not torchvision is installed.

    Raises:
        ModuleNotFoundError: facenet-pytorch itself is not installed.
    """
    if importlib.util.find_spec("torchvision") is None:
        _stand_in_for_torchvision()
    return importlib.import_module("facenet_pytorch")


def facenet_mtcnn(
    *,
    smallest_face_px: int,
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7),
    pyramid_factor: float = 0.709,
) -> Any:
    """Its detector, by default with its own defaults, set to return every face."""
    return facenet_pytorch().MTCNN(
        keep_all=True,
        min_face_size=smallest_face_px,
        thresholds=list(thresholds),
        factor=pyramid_factor,
    )


def _stand_in_for_torchvision() -> None:
    """Register the few modules that facenet-pytorch imports from."""
    names = ("", ".transforms", ".transforms.functional", ".ops", ".ops.boxes")
    modules = {name: ModuleType(f"torchvision{name}") for name in names}
    modules[".transforms"].__dict__["functional"] = modules[".transforms.functional"]
    modules[".ops.boxes"].__dict__["batched_nms"] = batched_nms
    sys.modules.update({module.__name__: module for module in modules.values()})


def batched_nms(boxes: Any, scores: Any, groups: Any, iou_threshold: float) -> Any:
    """Greedy non-maximum suppression within each group, as torchvision's function of this name.

    Args:
        boxes: (n, 4) tensor, x1, y1, x2, y2 with x2 and y2 outside the box; n may be 0.
        scores: (n,) tensor; higher is better.
        groups: (n,) integer tensor; only boxes of one group suppress each other.
        iou_threshold: in [0, 1]; a box overlapping a better one by more is dropped.

    Returns:
        (k,) int64 tensor: indices of the boxes kept, best first.
    """
    # In numpy, where so few boxes take a third of torch's time: the real function is compiled, and
    # a slow stand-in would make the package look slow where it is measured.
    order = np.argsort(-scores.numpy(), kind="stable")
    x1, y1, x2, y2 = np.ascontiguousarray(boxes.numpy()[order].T)
    width = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1)
    height = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1)
    common = np.maximum(width, 0) * np.maximum(height, 0)
    area = (x2 - x1) * (y2 - y1)
    overlaps = common / (area[:, None] + area - common) > iou_threshold
    group = groups.numpy()[order]
    better, worse = np.nonzero(overlaps & (group[:, None] == group))
    kept = [True] * len(order)
    for one, other in zip(better.tolist(), worse.tolist(), strict=True):
        if kept[one] and one < other:
            kept[other] = False
    return torch.from_numpy(order[kept])
