"""Small bundles for tests."""

from pathlib import Path

import numpy as np

from models.arrays import Floats
from tests.training.small_stores import EMBEDDER, unit_rows
from training.publish import BundleContents, Subnet
from training.subnets.export import export_subnet

CLASSES, DIMENSION = 7, 4
SUBNET_CLASSES = [[0, 2, 4, 6], [5, 1, 3], [3, 0]]
"""Classes 0 and 3 are in two subnets."""
ROWS = [6, 0, 1, 2, 3, 4, 5]
"""Row in the bundle of each class: "zoë" comes last."""


def bundle_contents(folder: Path) -> BundleContents:
    """Contents whose nets have random weights; the subjects do not stand in order."""
    subnets = []
    for number, classes in enumerate(SUBNET_CLASSES):
        file = folder / f"net-{number}"
        if not file.exists():
            file.write_bytes(export_subnet(subnet_weights(number)))
        subnets.append(Subnet(file, np.array(classes, np.int32)))
    return BundleContents(
        embedder=EMBEDDER,
        subject_ids=["zoë", *(f"subject-{number}" for number in range(1, CLASSES))],
        class_means=unit_rows(np.random.default_rng(4), CLASSES, DIMENSION),
        imprinted=np.arange(CLASSES) == 2,
        subnets=subnets,
        calibration={"weights": [0, 1, 0]},
        evaluation={"rank_1": 0.97},
        seed=11,
        synthetic=False,
        watermark=42,
        collection="11111111-2222-4333-8444-555555555555",
    )


def subnet_weights(number: int) -> Floats:
    """(k, d) unit rows, one for each class of a subnet."""
    return unit_rows(np.random.default_rng(number), len(SUBNET_CLASSES[number]), DIMENSION)
