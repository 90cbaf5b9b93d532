from pathlib import Path

import numpy as np
import pytest

from tests.training.people import people
from tests.training.small_stores import unit_rows
from training.clusters.placement import Placement
from training.searching.search import Enrolled, Nets, Searches, blocks
from training.subnets.export import export_subnet


@pytest.fixture
def nets(tmp_path: Path) -> Nets:
    """Five classes in three clusters that overlap; class 1 is in two."""
    keys = np.array([0 * 3 + 0, 1 * 3 + 0, 1 * 3 + 2, 2 * 3 + 1, 3 * 3 + 2, 4 * 3 + 2], np.int64)
    placement = Placement.of(keys, 3)
    files = []
    for cluster in range(3):
        file = tmp_path / f"{cluster}.onnx"
        rows = unit_rows(np.random.default_rng(cluster), len(placement.classes_in(cluster)), 8)
        file.write_bytes(export_subnet(rows))
        files.append(file)
    return Nets.open(files, placement)


def test_enrolled_agrees_with_one_class_at_a_time(tmp_path: Path) -> None:
    store = people(tmp_path / "store", 6)
    within = (store.labels != 2) & (np.arange(len(store)) % 5 != 1)
    enrolled = Enrolled.of(store, within)
    assert enrolled.classes.tolist() == [0, 1, 3, 4, 5]
    assert enrolled.places(np.array([5, 2, 0, 9], np.int32)).tolist() == [4, -1, 0, -1]
    probes = unit_rows(np.random.default_rng(1), 7, 8)
    for place, label in enumerate(enrolled.classes):
        rows = store.vectors[within & store.originals & (store.labels == label)].astype(np.float32)
        mean = rows.sum(axis=0) / np.linalg.norm(rows.sum(axis=0))
        np.testing.assert_allclose(
            enrolled.mean_cosines(probes)[:, place], probes @ mean, atol=1e-6
        )
        np.testing.assert_allclose(
            enrolled.best_sample_cosines(probes)[:, place], (probes @ rows.T).max(1), atol=1e-6
        )
        assert enrolled.sample_counts()[place] == len(rows)


def test_nets_answer_for_pairs_and_the_best_pair_for_its_class(nets: Nets) -> None:
    probes = unit_rows(np.random.default_rng(2), 9, 8)
    cosines = nets.cosines(probes)
    for cluster in range(3):
        (alone,) = nets.sessions[cluster].run(None, {"template": probes})
        np.testing.assert_array_equal(cosines[:, nets.placement.clusters == cluster], alone)
    searched = np.random.default_rng(3).random((9, 3)) < 0.6
    over_classes = nets.over_classes(cosines, searched)
    for probe in range(9):
        for label in range(5):
            pairs = [
                cosines[probe, pair]
                for pair in range(6)
                if nets.placement.classes[pair] == label
                and searched[probe, nets.placement.clusters[pair]]
            ]
            assert over_classes[probe, label] == max(pairs, default=-np.inf)


def test_shares_put_the_cluster_of_the_nearest_mean_first(nets: Nets) -> None:
    means = np.array([[0.1, 0.2, 0.9, 0.0, 0.3], [0.1, 0.9, 0.0, 0.2, 0.3]], np.float32)
    shares = nets.shares(means)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert shares[0].argmax() == 1
    # Class 1 votes for both of its clusters alike; class 4 adds to the second of them.
    assert shares[1].argmax() == 2
    assert shares[1, 0] == pytest.approx(shares[1, 2], rel=1e-3)


def test_searches_tell_the_best_and_the_mate() -> None:
    scores = np.array([[0.1, 0.7, -np.inf], [0.9, 0.2, 0.3]], np.float32)
    found = Searches.of(scores, np.array([2, -1], np.int32))
    assert found.best.tolist() == [1, 0]
    np.testing.assert_allclose(found.scores, [0.7, 0.9])
    assert found.mate_scores.tolist() == [-np.inf, -np.inf]
    twice = Searches.joined([found, found])
    assert twice.best.tolist() == [1, 0, 1, 0]


def test_blocks_cover_all_probes_once() -> None:
    assert [probe for block in blocks(10, 2**23) for probe in range(10)[block]] == list(range(10))
    assert blocks(0, 5) == []
