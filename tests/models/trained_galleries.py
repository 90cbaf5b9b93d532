"""Small bundles of drawn subjects, and galleries on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np

from models.arrays import Floats
from models.class_means import class_means
from models.fusion import Fusion
from models.gallery import Gallery
from models.trained import Trained
from tests.training.small_stores import EMBEDDER, unit_rows
from training.publish import BundleContents, Subnet, publish
from training.subnets.export import export_subnet

DIMENSION = 16
FUSION = Fusion(
    needed_share=0.7,
    weights=np.array(
        [[[0.2, 0.4, 0.4], [0.3, 0.3, 0.4]], [[0.5, 0.2, 0.3], [0.6, 0.2, 0.2]]], np.float32
    ),
)


def near(rng: np.random.Generator, rows: Floats, spread: float) -> Floats:
    """Unit rows beside others; the greater the spread, the farther off."""
    moved = rows + spread * unit_rows(rng, len(rows), rows.shape[1])
    unit: Floats = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32)
    return unit


@dataclass(frozen=True, eq=False)
class Drawn:
    """A bundle and what it was made from."""

    trained: Trained
    subjects: dict[UUID, Floats]
    """(s, d) samples of each class."""
    clusters: dict[UUID, list[int]]
    weights: dict[tuple[int, UUID], Floats]
    """(d,) of each class in each of its clusters."""


def draw(
    folder: Path,
    rng: np.random.Generator,
    *,
    classes: int = 60,
    clusters: int = 3,
    overlapping: int = 6,
    fusion: Fusion = FUSION,
    watermark: int = 10,
) -> Drawn:
    """Publish a bundle of drawn classes and open it.

    Args:
        folder: for it.
        rng: draws.
        classes: N, dealt out to the clusters.
        clusters: m.
        overlapping: classes that are in a second cluster, too.
        fusion: that it is searched with.
        watermark: revision that it knows.
    """
    ids = [UUID(int=int(number)) for number in rng.choice(10**6, classes, replace=False)]
    centres = unit_rows(rng, classes, DIMENSION)
    subjects = {
        subject: near(rng, np.repeat(centre[None], int(rng.integers(1, 4)), axis=0), 0.5)
        for subject, centre in zip(ids, centres, strict=True)
    }
    placed = {subject: [number % clusters] for number, subject in enumerate(ids)}
    for number, subject in enumerate(ids[:overlapping]):
        placed[subject].append((number + 1) % clusters)
    offsets = np.concatenate([[0], np.cumsum([len(rows) for rows in subjects.values()])])
    means = class_means(np.concatenate(list(subjects.values())), offsets)
    weights: dict[tuple[int, UUID], Floats] = {}
    subnets = []
    for cluster in range(clusters):
        own = [row for row, subject in enumerate(ids) if cluster in placed[subject]]
        rows = near(rng, means[own], 0.3)
        weights |= {(cluster, ids[row]): weight for row, weight in zip(own, rows, strict=True)}
        file = folder / f"net-{cluster}.onnx"
        file.write_bytes(export_subnet(rows))
        subnets.append(Subnet(file, np.array(own, np.int32)))
    contents = BundleContents(
        embedder=EMBEDDER,
        subject_ids=[str(subject) for subject in ids],
        class_means=means,
        subnets=subnets,
        calibration={"fusion": fusion.to_json()},
        evaluation={},
        seed=0,
        synthetic=True,
        collection=None,
        imprinted=np.zeros(classes, np.bool_),
        watermark=watermark,
    )
    publish(contents, folder / "bundle")
    trained = Trained.open(folder / "bundle", embedder=EMBEDDER, memory_limit_bytes=2**20)
    return Drawn(trained, subjects, placed, weights)


def gallery_of(
    subjects: Mapping[UUID, Floats],
    trained: Trained | None = None,
    changed: set[UUID] | None = None,
    *,
    revision: int = 1,
) -> Gallery:
    """Build a gallery from each subject's (s, d) samples."""
    owners = [row for row, samples in enumerate(subjects.values()) for _ in samples]
    return Gallery.build(
        list(subjects),
        np.array(owners, np.int64),
        np.concatenate([*subjects.values(), np.empty((0, DIMENSION), np.float32)]),
        dimension=DIMENSION,
        revision=revision,
        trained=trained,
        changed=changed or set(),
    )
