"""The pictures of tests/data as arrays, and how alike two boxes are."""

from pathlib import Path

import numpy as np
from PIL import Image

from models.arrays import Floats, Picture

DATA = Path(__file__).resolve().parents[2] / "data"
GOLDEN = DATA / "golden"


def read(path: Path) -> Picture:
    """(H, W, 3) uint8 RGB."""
    return np.asarray(Image.open(path).convert("RGB"))


def overlap(box: Floats, other: Floats) -> float:
    """Area common to two boxes by the area that either covers."""
    width, height = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    common = max(0.0, width) * max(0.0, height)
    areas = [float(np.prod(b[2:] - b[:2])) for b in (box, other)]
    return float(common / (sum(areas) - common))
