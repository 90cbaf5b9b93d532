from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluation.galleries import nets_over, photographed
from training.clusters.cluster import cluster_classes, split_at_random
from training.clusters.placement import by_mean
from training.evaluation.cluster_finding import found_shares
from training.searching.probes import Probes
from training.searching.search import Enrolled


@pytest.mark.parametrize("at_random", [False, True])
@pytest.mark.parametrize("block_scores", [2**24, 100])
def test_it_agrees_with_one_probe_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_random: bool, block_scores: int
) -> None:
    monkeypatch.setattr("training.searching.search.BLOCK_SCORES", block_scores)
    store = photographed(tmp_path / "store", [4] * 24, spread=1.2)
    enrolled = Enrolled.of(store, store.sources % 4 != 0)
    means = enrolled.class_means
    clustering = (
        split_at_random(means, count=4) if at_random else cluster_classes(means, target_size=6)
    )
    nets = nets_over(tmp_path / "nets", by_mean(clustering), means, noise=1.0)
    probes = Probes.of(store, store.sources % 4 == 0, enrolled)
    shares = found_shares(probes, enrolled, nets, clustering)
    right = dict.fromkeys(shares, 0)
    assert list(shares) == ["cluster mean", "max-max", "nearest class mean"]
    for template, true in zip(probes.templates, probes.true, strict=True):
        own = clustering.clusters[true]
        by_centroid = max(range(4), key=lambda each: float(template @ clustering.centroids[each]))
        best_of_each = [
            session.run(None, {"template": template[None]})[0].max() for session in nets.sessions
        ]
        nearest = max(range(24), key=lambda each: float(template @ means[each]))
        right["cluster mean"] += by_centroid == own
        right["max-max"] += int(np.argmax(best_of_each)) == own
        right["nearest class mean"] += clustering.clusters[nearest] == own
    assert len(set(right.values())) > 1
    for name, count in right.items():
        assert shares[name] == pytest.approx(count / len(probes))
