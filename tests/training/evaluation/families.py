"""Four families of nets that nobody trained, over one small gallery."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.training.evaluation.galleries import nets_over, photographed
from training.clusters.cluster import cluster_classes, split_at_random
from training.clusters.placement import Placement, by_mean
from training.clusters.ways import Ways
from training.evaluation.contenders import Families
from training.searching.search import Enrolled
from training.split import Split
from training.stores.store import EmbeddingStore


@dataclass(frozen=True, eq=False)
class Compared:
    """All that a search in the eight scenarios needs."""

    store: EmbeddingStore
    split: Split
    enrolled: Enrolled
    families: Families


def compared(folder: Path) -> Compared:
    """Thirty classes in five clusters, of which ours overlap; all nets differ."""
    store = photographed(folder / "store", [5, 6, 10] * 10, spread=1.2)
    split = Split.of(store, seed=0)
    enrolled = Enrolled.of(store, split.training)
    means = enrolled.class_means
    clustering = cluster_classes(means, target_size=6)
    random_split = split_at_random(means, count=5)
    ways = Ways(store, split.training, clustering, classes=enrolled.classes, minimum_share=0.3)
    everybody = Placement(np.arange(30, dtype=np.int32), np.zeros(30, np.int32), 1)
    placements = {
        "flat": everybody,
        "random": by_mean(random_split),
        "clusters": by_mean(clustering),
        "ours": ways.placements["any"],
    }
    nets = {
        name: nets_over(folder / name, placement, means, noise=0.8, seed=seed)
        for seed, (name, placement) in enumerate(placements.items())
    }
    families = Families(
        flat=nets["flat"],
        random=nets["random"],
        random_split=random_split,
        clusters=nets["clusters"],
        clustering=clustering,
        ours=nets["ours"],
        trained=(),
        ways=ways,
    )
    return Compared(store, split, enrolled, families)
