"""A bundle of a few made-up subjects, and what a retraining would find later."""

from pathlib import Path

import numpy as np

from models.arrays import Floats
from models.bundle import Bundle
from tests.training.small_stores import EMBEDDER, unit_rows
from training.publish import BundleContents, Subnet, publish
from training.retraining.refresh import CARRIED
from training.subnets.export import export_subnet

CLUSTERS, SIZE, DIMENSION = 4, 30, 8
CENTRES = np.eye(DIMENSION, dtype=np.float32)[:CLUSTERS]
"""Subject `s012` is the one of cluster 0, 1, 2, 3, 0, ... in turn, near to its centre."""


def subject(number: int) -> str:
    return f"s{number:03}"


def class_means(count: int) -> Floats:
    """(count, d) of the first so many subjects."""
    noise = unit_rows(np.random.default_rng(0), count, DIMENSION)
    means = CENTRES[np.arange(count) % CLUSTERS] + 0.3 * noise
    unit: Floats = means / np.linalg.norm(means, axis=1, keepdims=True)
    return unit


def weights(number: int) -> Floats:
    """(SIZE, d) of a subnet of `active`, no class means."""
    return unit_rows(np.random.default_rng(100 + number), SIZE, DIMENSION)


def active(
    folder: Path, *, imprinted: tuple[int, ...] = (), carried: tuple[int, ...] = (0, 0, 0, 0)
) -> Bundle:
    """A bundle of `CLUSTERS` clusters of `SIZE` subjects.

    Args:
        folder: for it.
        imprinted: subjects whose weights were not trained.
        carried: changes of each subnet's trained classes since.
    """
    count = CLUSTERS * SIZE
    folder.mkdir(parents=True, exist_ok=True)
    subnets = []
    for number in range(CLUSTERS):
        file = folder / f"net-{number}.onnx"
        file.write_bytes(export_subnet(weights(number)))
        subnets.append(Subnet(file, np.arange(number, count, CLUSTERS, dtype=np.int32)))
    contents = BundleContents(
        embedder=EMBEDDER,
        subject_ids=[subject(number) for number in range(count)],
        class_means=class_means(count),
        imprinted=np.isin(np.arange(count), imprinted),
        subnets=subnets,
        calibration={},
        evaluation={CARRIED: list(carried)},
        seed=0,
        synthetic=False,
        watermark=7,
        collection="a collection",
    )
    publish(contents, folder / "bundle")
    return Bundle.open(folder / "bundle", embedder=EMBEDDER)
