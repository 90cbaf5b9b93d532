import json
import sys
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from benchmarks import report

pytestmark = pytest.mark.torch

CLASSES = 100_000
"""Enough for an index of codes, and for forty subnets."""


@pytest.mark.slow
def test_a_hundred_thousand_classes_from_nothing_to_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import bench_scale, synthetic_bundle

    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(synthetic_bundle, "PROBES", 1_000)
    monkeypatch.setattr(bench_scale, "THREADS", (1,))
    monkeypatch.setattr(
        sys, "argv", ["bench_scale", "--classes", str(CLASSES), "--out", str(tmp_path)]
    )
    with pytest.raises(SystemExit) as ended:
        bench_scale.main()
    assert ended.value.code is None
    figures = json.loads((tmp_path / "results" / "scale_100000.json").read_text())["figures"]
    assert figures["classes"] == CLASSES
    assert figures["probes"] == 1_000
    assert figures["made_clusters"] == figures["threads_1_subnets_opened"] == 40
    assert figures["made_smallest"] > 500
    assert 0.98 < figures["exact_rank1"] < 1
    assert figures["threads_1_routed_right"] >= figures["threads_1_rank1"]
    assert figures["threads_1_clusters_searched"] == 1
    assert figures["threads_1_search_median_ms"] > figures["threads_1_routing_median_ms"] > 0
    # 16 bytes a class and the learned codes; subnets and class means are on disk.
    assert 1.6 < figures["threads_1_index_mb"] < 2.5
    assert figures["threads_1_anonymous_mb"] < figures["threads_1_resident_mb"]
    assert "exact_rank1" in capsys.readouterr().out
    said: list[str] = []
    synthetic_bundle.make_bundle(tmp_path / str(CLASSES), CLASSES, said.append)
    assert not said, "what is there is not made again"


def test_class_means_on_disk_are_searched_as_samples_in_memory_are(tmp_path: Path) -> None:
    from benchmarks.scale_search import gallery_over
    from benchmarks.synthetic_bundle import EMBEDDER, make_bundle
    from models.gallery import Gallery
    from models.trained import Trained

    make_bundle(tmp_path / "made", 1_000, lambda _: None)
    trained = Trained.open(
        tmp_path / "made" / "bundle", embedder=EMBEDDER, memory_limit_bytes=2**30
    )
    ids = [UUID(trained.bundle.id_of(row)) for row in range(1_000)]
    in_memory = Gallery.build(
        ids,
        np.arange(1_000),
        trained.bundle.class_means.astype(np.float32),
        dimension=192,
        revision=0,
        trained=trained,
    )
    with np.load(tmp_path / "made" / "probes.npz") as file:
        probes, rows, nearest = file["vectors"][:50], file["rows"][:50], file["nearest"][:50]
    quality = np.ones(50, np.float32)
    found = gallery_over(trained).search(probes, quality, 5)
    assert found == in_memory.search(probes, quality, 5)
    assert [each.candidates[0].subject_id for each in found] == [ids[row] for row in nearest]
    assert (rows == nearest).mean() > 0.9


def test_probes_lie_at_the_asked_cosine_from_their_class_means() -> None:
    from benchmarks.synthetic_classes import draw_classes, draw_probes

    means = draw_classes(500, np.random.default_rng(1))
    probes = draw_probes(means, 0.7, np.random.default_rng(2))
    np.testing.assert_allclose(np.linalg.norm(means, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(probes, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((means * probes).sum(axis=1), 0.7, atol=1e-6)
    # As of two different people: see the quantiles of bench-epochs.
    cosines = (means @ draw_classes(500, np.random.default_rng(3)).T).ravel()
    np.testing.assert_allclose(np.quantile(cosines, [0.01, 0.99]), [-0.36, 0.36], atol=0.02)


def test_what_is_missed_is_said() -> None:
    from benchmarks.bench_scale import missed

    figures = {
        "rank1_loss": 0.0,
        "threads_1_search_median_ms": 1.4,
        "threads_1_exact_ratio": 20.0,
        "threads_1_resident_mb": 14_000.0,
    }
    assert missed(1_000_000, figures) is None
    assert missed(100_000, figures | {"threads_1_search_median_ms": 99.0}) is None
    assert missed(100_000, figures | {"rank1_loss": 0.002}) == (
        "not reached: at most 0.001 of rank-1 lost"
    )
    slow = figures | {"threads_1_search_median_ms": 1.6, "threads_1_exact_ratio": 19.0}
    assert missed(1_000_000, slow) == (
        "not reached: a median of at most 1.5 ms; 20 times as fast as the exact scan"
    )
    assert "at most 12884.9 MB of resident memory" in str(missed(10_000_000, figures))
