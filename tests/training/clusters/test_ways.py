import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.people import people
from training.clusters.class_means import class_means
from training.clusters.cluster import cluster_classes
from training.clusters.placement import by_mean
from training.clusters.ways import Ways


def test_the_four_ways_agree_with_one_class_at_a_time(tmp_path: Path) -> None:
    store = people(tmp_path / "store", 20, spread=1.5)
    classes = np.setdiff1d(np.arange(20), [3, 11]).astype(np.int32)
    within = np.arange(len(store)) % 10 != 4
    means = class_means(store, within=within)[classes]
    clustering = cluster_classes(means, target_size=6, seed=1)
    ways = Ways(store, within, clustering, classes=classes, minimum_share=0.3)
    assert list(ways.placements) == ["mean", "majority", "any", "share"]
    inside = dict.fromkeys(ways.placements, 0)
    for place, label in enumerate(classes):
        rows = within & store.originals & (store.labels == label)
        assert rows.sum() == 4
        cosines = store.vectors[rows].astype(np.float32) @ clustering.centroids.T
        lie_in = cosines.argmax(axis=1).tolist()
        own = int(clustering.clusters[place])
        enough = sorted({cluster for cluster in lie_in if lie_in.count(cluster) / 4 >= 0.3})
        found = {
            name: placement.clusters_of(place).tolist()
            for name, placement in ways.placements.items()
        }
        assert found["mean"] == [own]
        assert len(found["majority"]) == 1
        assert lie_in.count(found["majority"][0]) == max(map(lie_in.count, lie_in))
        assert found["any"] == sorted(set(lie_in))
        assert found["share"] == (enough or [own])
        for name, clusters in found.items():
            inside[name] += sum(cluster in clusters for cluster in lie_in)
    summary = ways.summary("share")
    assert summary["own_cluster_share"] == {
        name: pytest.approx(count / (4 * len(classes))) for name, count in inside.items()
    }
    assert summary["own_cluster_share"]["any"] == 1


def test_the_summary_tells_the_chosen_sizes_and_all_overlaps(tmp_path: Path) -> None:
    store = people(tmp_path / "store", 20, spread=1.5)
    classes = np.arange(20, dtype=np.int32)
    everything = np.ones(len(store), np.bool_)
    clustering = cluster_classes(class_means(store), target_size=5)
    ways = Ways(store, everything, clustering, classes=classes, minimum_share=0.3)
    for chosen, placement in ways.placements.items():
        summary = ways.summary(chosen)
        assert (summary["count"], summary["placement"]) == (4, chosen)
        assert summary["sizes"] == placement.sizes().tolist()
        assert summary["mean_clusters_a_class"][chosen] == pytest.approx(sum(summary["sizes"]) / 20)
        json.dumps(summary, allow_nan=False)
    assert by_mean(clustering).sizes().tolist() == ways.summary("mean")["sizes"]
