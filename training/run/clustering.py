"""The stages `class-means` and `cluster`, and what later stages read of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from models.arrays import Floats
from training.clusters import class_means as means
from training.clusters.cluster import Clustering, cluster_classes
from training.clusters.placement import Placement
from training.clusters.ways import Ways
from training.run.folder import as_json, written_whole
from training.run.job import Job, Made, Progress
from training.stores.shards import write_whole


@dataclass(frozen=True, eq=False)
class Clusters:
    """What `cluster` has made."""

    clustering: Clustering
    placement: Placement

    @classmethod
    def read(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as arrays:
            clustering = Clustering(arrays["clusters"], arrays["centroids"])
            placement = Placement(
                arrays["placed_classes"], arrays["placed_clusters"], len(clustering.centroids)
            )
            return cls(clustering, placement)

    def write(self, path: Path) -> None:
        with written_whole(path) as file:
            np.savez(
                file,
                clusters=self.clustering.clusters,
                centroids=self.clustering.centroids,
                placed_classes=self.placement.classes,
                placed_clusters=self.placement.clusters,
            )


def make_class_means(job: Job, _progress: Progress) -> Made:
    """Write the mean of each class's pictures that may be trained on: (N, d) float32."""
    rows = means.class_means(job.store, within=job.split.training)
    with written_whole(job.folder.class_means) as file:
        np.save(file, rows)
    held_out = int((job.split.validation & job.store.originals).sum())
    note = f"{len(rows):,} class means; {held_out:,} pictures are held out to validate"
    return Made((job.folder.class_means,), note)


def read_class_means(job: Job) -> Floats:
    """(N, d) unit rows."""
    rows: Floats = np.load(job.folder.class_means, allow_pickle=False)
    return rows


def make_clusters(job: Job, _progress: Progress) -> Made:
    """Write clusters and placement, and a summary of all four ways to place."""
    settings = job.training
    clustering = cluster_classes(
        read_class_means(job), target_size=settings.target_size, seed=settings.seed
    )
    ways = Ways(
        job.store,
        job.split.training,
        clustering,
        classes=np.arange(len(job.store.subject_ids), dtype=np.int32),
        minimum_share=settings.minimum_share,
    )
    Clusters(clustering, ways.placements[settings.placement]).write(job.folder.clusters)
    summary = ways.summary(settings.placement)
    write_whole(job.folder.clusters_summary, as_json(summary))
    sizes = summary["sizes"]
    note = (
        f"{len(sizes)} cluster{'' if len(sizes) == 1 else 's'} of {min(sizes):,} to "
        f"{max(sizes):,} classes; {summary['own_cluster_share'][settings.placement]:.1%} of the "
        "samples lie in a cluster of their own class"
    )
    return Made((job.folder.clusters, job.folder.clusters_summary), note)
