"""Small bundles for tests."""

from pathlib import Path

import numpy as np

from tests.training.small_stores import EMBEDDER, unit_rows
from training.publish import BundleContents, Subnet

CLASSES, DIMENSION = 7, 4
SUBNET_CLASSES = [[0, 2, 4, 6], [5, 1, 3], [3, 0]]
"""Classes 0 and 3 are in two subnets."""


def bundle_contents(folder: Path) -> BundleContents:
    """Contents whose nets are a few bytes: a bundle keeps them without looking inside."""
    subnets = []
    for number, classes in enumerate(SUBNET_CLASSES):
        file = folder / f"net-{number}"
        file.write_bytes(bytes([number]) * 50)
        subnets.append(Subnet(file, np.array(classes, np.int32)))
    return BundleContents(
        embedder=EMBEDDER,
        subject_ids=["zoë", *(f"subject-{number}" for number in range(1, CLASSES))],
        class_means=unit_rows(np.random.default_rng(4), CLASSES, DIMENSION),
        subnets=subnets,
        calibration={"weights": [0, 1, 0]},
        evaluation={"rank_1": 0.97},
        seed=11,
        synthetic=False,
        watermark=42,
    )
