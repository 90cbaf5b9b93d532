import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.run.jobs import SETTINGS, ignore, job_of
from training.clusters.class_means import class_means
from training.run.clustering import Clusters, make_class_means, make_clusters, read_class_means
from training.run.job import Job
from training.run.run_settings import RunSettings
from training.settings import PlacementRule


def clustered(path: Path, settings: RunSettings = SETTINGS) -> Job:
    job = job_of(path, settings=settings)
    make_class_means(job, ignore)
    make_clusters(job, ignore)
    return job


def test_class_means_are_of_what_may_be_trained_on(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    made = make_class_means(job, ignore)
    assert made.outputs == (tmp_path / "class_means.npy",)
    np.testing.assert_array_equal(
        read_class_means(job), class_means(job.store, within=job.split.training)
    )
    assert not np.allclose(read_class_means(job), class_means(job.store))


def test_clusters_are_read_as_they_were_made(tmp_path: Path) -> None:
    job = clustered(tmp_path / "one")
    read = Clusters.read(job.folder.clusters)
    assert read.placement.sizes().tolist() == np.bincount(read.clustering.clusters).tolist()
    read.write(tmp_path / "again.npz")
    again = (tmp_path / "again.npz").read_bytes()
    assert again == job.folder.clusters.read_bytes()
    assert clustered(tmp_path / "two").folder.clusters.read_bytes() == again


@pytest.mark.parametrize("rule", ["mean", "majority", "any", "share"])
def test_the_summary_tells_what_each_placement_comes_to(
    tmp_path: Path, rule: PlacementRule
) -> None:
    job = clustered(
        tmp_path, replace(SETTINGS, training=replace(SETTINGS.training, placement=rule))
    )
    summary = json.loads(job.folder.clusters_summary.read_bytes())
    read = Clusters.read(job.folder.clusters)
    # Counted one sample at a time.
    rows = np.flatnonzero(job.split.training & job.store.originals)
    inside = []
    for row in rows:
        cosines = read.clustering.centroids @ job.store.vectors[row].astype(np.float32)
        inside.append(cosines.argmax() in read.placement.clusters_of(job.store.labels[row]))
    assert summary["own_cluster_share"][rule] == pytest.approx(np.mean(inside))
    assert summary["placement"] == rule
    assert summary["count"] == 3
    assert summary["sizes"] == read.placement.sizes().tolist()
    assert summary["mean_clusters_a_class"][rule] == pytest.approx(len(read.placement.classes) / 18)
    assert set(summary["mean_clusters_a_class"]) == {"mean", "majority", "any", "share"}
