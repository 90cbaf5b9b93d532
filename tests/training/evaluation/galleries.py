"""Small galleries, and nets over them that nobody trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.arrays import Floats
from tests.training.small_stores import store_of
from training.clusters.cluster import cluster_classes
from training.clusters.placement import Placement, by_mean
from training.clusters.ways import Ways
from training.searching.search import Enrolled, Nets
from training.split import Split
from training.stores.format import Kind
from training.stores.store import EmbeddingStore
from training.stores.writer import Batch
from training.subnets.export import export_subnet

KINDS = (Kind.ORIGINAL, Kind.DEGRADED, Kind.HARD_RESOLUTION, Kind.HARD_COVER)
"""Of each picture there is one row of each."""
FURTHER_OFF = (1.0, 1.6, 1.8, 2.0)


def photographed(
    folder: Path, pictures: Sequence[int], *, spread: float = 0.6, seed: int = 0
) -> EmbeddingStore:
    """Write a store of d = 16 of subjects with so many pictures each.

    Args:
        folder: where it will be.
        pictures: of each subject.
        spread: mean length of an original's offset from its subject's direction, of length 1.
        seed: of all draws.
    """
    rng = np.random.default_rng(seed)
    dimension, kinds = 16, len(KINDS)
    subjects = np.repeat(np.arange(len(pictures)), pictures)
    labels, sources = np.repeat(subjects, kinds), np.repeat(np.arange(len(subjects)), kinds)
    directions = rng.standard_normal((len(pictures), dimension))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = spread * np.tile(FURTHER_OFF, len(subjects))[:, None] / np.sqrt(dimension)
    vectors = directions[labels] + lengths * rng.standard_normal((len(labels), dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    row_kinds = np.tile(np.array(KINDS, np.uint8), len(subjects))
    quality = np.where(row_kinds == Kind.ORIGINAL, 0.9, 0.3) + rng.uniform(-0.1, 0.1, len(labels))
    batch = Batch(
        subject_ids=[f"subject {label:03}" for label in labels],
        vectors=vectors.astype(np.float32),
        kinds=row_kinds,
        sources=sources.astype(np.int32),
        quality=quality.astype(np.float32),
    )
    return store_of(folder, [batch], dimension=dimension)


def nets_over(
    folder: Path, placement: Placement, class_means: Floats, *, noise: float = 0.3, seed: int = 0
) -> Nets:
    """Nets whose rows lie around the class means.

    Args:
        folder: for their files; is made.
        placement: of N classes.
        class_means: (N, d).
        noise: mean length of a row's offset from its class mean.
        seed: of the offsets.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    files = []
    for cluster in range(placement.cluster_count):
        rows = class_means[placement.classes_in(cluster)]
        offsets = noise * rng.standard_normal(rows.shape) / np.sqrt(rows.shape[1])
        files.append(folder / f"{cluster}.onnx")
        files[-1].write_bytes(export_subnet((rows + offsets).astype(np.float32)))
    return Nets.open(files, placement)


@dataclass(frozen=True, eq=False)
class Gallery:
    """A store, its split, who is enrolled, and nets over them."""

    store: EmbeddingStore
    split: Split
    enrolled: Enrolled
    nets: Nets


def gallery_of(
    folder: Path,
    pictures: Sequence[int],
    *,
    target_size: int,
    overlap: bool = False,
    spread: float = 0.6,
) -> Gallery:
    """Enrol the training pictures of a made-up store.

    Args:
        folder: for the store and the nets.
        pictures: of each subject.
        target_size: classes a cluster.
        overlap: whether a class is in every cluster with any of its samples.
        spread: as `photographed` has it.
    """
    store = photographed(folder / "store", pictures, spread=spread)
    split = Split.of(store, seed=0)
    enrolled = Enrolled.of(store, split.training)
    clustering = cluster_classes(enrolled.class_means, target_size=target_size)
    placement = by_mean(clustering)
    if overlap:
        ways = Ways(store, split.training, clustering, classes=enrolled.classes, minimum_share=0.3)
        placement = ways.placements["any"]
    return Gallery(
        store, split, enrolled, nets_over(folder / "nets", placement, enrolled.class_means)
    )
