"""Pictures of people made by hand: directions, noise around them, and more noise in the copies."""

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from training.calibration.drawn_galleries import PictureSet


def made_up_pictures(
    people: int, *, pictures: int = 4, dimension: int = 64, seed: int = 0
) -> PictureSet:
    """Draw as many pictures of each of some people."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(rng.standard_normal((people, dimension)), pictures, axis=0)
    kept = unit(centres + 0.6 * rng.standard_normal(centres.shape))
    copies = unit(kept + 0.08 * rng.standard_normal(centres.shape))
    return PictureSet(
        subjects=np.repeat(np.arange(people), pictures),
        templates=np.stack([kept, copies], axis=1),
        quality=rng.uniform(0, 1, (len(centres), 2)).astype(np.float32),
    )


def unit(rows: NDArray[np.float64]) -> Floats:
    """Rows of unit length."""
    scaled: Floats = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return scaled
