from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from models.arrays import Floats
from models.bundle import Bundle
from models.class_means import class_means as mean_of
from models.fusion import Fusion
from tests.training.small_stores import EMBEDDER, store_of, unit_rows
from training.clusters.class_means import class_means
from training.publish import BundleContents, Subnet, publish
from training.retraining.comparison import Searched, compare, probe_rows
from training.split import Split
from training.stores.format import Kind
from training.stores.store import EmbeddingStore
from training.stores.writer import Batch
from training.subnets.export import export_subnet

CLASSES, DIMENSION, CLUSTERS = 24, 16, 3
FUSION = Fusion(0.0, np.tile(np.array([0.4, 0.3, 0.3], np.float32), (2, 2, 1)))


def store_with(folder: Path, pictures: int, *, spread: float = 1.2) -> EmbeddingStore:
    """Subjects with so many pictures, and a degraded copy of each."""
    rng = np.random.default_rng(3)
    centres = np.repeat(unit_rows(rng, CLASSES, DIMENSION), 2 * pictures, axis=0)
    vectors = centres + spread * unit_rows(rng, len(centres), DIMENSION)
    rows = np.arange(len(vectors))
    batch = Batch(
        subject_ids=[str(UUID(int=row // (2 * pictures))) for row in rows.tolist()],
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        kinds=np.where(rows % 2, Kind.DEGRADED, Kind.ORIGINAL).astype(np.uint8),
        sources=(rows // 2).astype(np.int32),
        quality=np.full(len(rows), 0.9, np.float32),
    )
    return store_of(folder, [batch], dimension=DIMENSION)


def bundle_of(folder: Path, store: EmbeddingStore, classes: int, means: Floats) -> Bundle:
    """Of the first so many classes, whose class means are those given."""
    folder.mkdir()
    subnets = []
    for number in range(CLUSTERS):
        members = np.arange(number, classes, CLUSTERS, dtype=np.int32)
        file = folder / f"{number}.onnx"
        file.write_bytes(export_subnet(means[members]))
        subnets.append(Subnet(file, members))
    contents = BundleContents(
        embedder=EMBEDDER,
        subject_ids=store.subject_ids[:classes],
        class_means=class_means(store)[:classes],
        imprinted=np.zeros(classes, np.bool_),
        subnets=subnets,
        calibration={"fusion": FUSION.to_json()},
        evaluation={},
        seed=0,
        synthetic=False,
    )
    publish(contents, folder / "bundle")
    return Bundle.open(folder / "bundle", embedder=EMBEDDER)


def searched_slowly(
    store: EmbeddingStore, split: Split, *, classes: int = CLASSES, trained: bool
) -> Searched:
    """One probe after the other, over all class means; classes from `classes` on are live."""
    rows = np.flatnonzero(store.originals & ~split.test)
    samples = [
        store.vectors[rows[store.labels[rows] == label]].astype(np.float32)
        for label in range(CLASSES)
    ]
    means = np.concatenate([mean_of(own, np.array([0, len(own)])) for own in samples])
    stored = means.astype(np.float16).astype(np.float32) if trained else means
    nets = class_means(store, within=split.training)
    weights = FUSION.weights[0, 1] if trained else np.array([0, 0.5, 0.5], np.float32)
    ranks, mates, strangers, clusters = [], [], [], []
    for row in probe_rows(store, split):
        probe, mate = store.vectors[row].astype(np.float32), int(store.labels[row])
        by_mean = np.array([
            (stored if label < classes else means)[label] @ probe for label in range(CLASSES)
        ])  # fmt: skip
        best = np.array([(own @ probe).max() for own in samples])
        subnet = np.where(np.arange(CLASSES) < classes, nets @ probe, by_mean)
        scores = np.stack([subnet, by_mean, best], axis=1) @ weights
        own_cluster = np.arange(CLASSES) % CLUSTERS
        if classes < CLASSES:
            nearest = (means[classes:] @ stored[:classes].T).argmax(axis=1)
            own_cluster[classes:] = nearest % CLUSTERS
        for left_out in (None, mate):
            voting = by_mean.copy()
            if left_out is not None:
                voting[left_out] = -np.inf
            shares = np.bincount(own_cluster, np.exp(20 * voting), minlength=CLUSTERS)
            found = np.where(own_cluster == shares.argmax(), scores, -np.inf)
            found = found if trained else scores.copy()
            if left_out is not None:
                found[left_out] = -np.inf
                strangers.append(found.max())
                continue
            listed = np.isfinite(found[mate])
            ranks.append(1 + int((found > found[mate]).sum()) if listed else 0)
            mates.append(found[mate])
            clusters.append(1 if trained else 0)
    return Searched(
        np.array(ranks), np.array(mates, np.float64), np.array(strangers, np.float64),
        np.array(clusters),
    )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    return store_with(tmp_path_factory.mktemp("comparison") / "store", 6)


def test_bundles_are_compared_as_a_slow_search_would(store: EmbeddingStore, tmp_path: Path) -> None:
    split = Split.of(store, seed=0)
    nets = class_means(store, within=split.training)
    new = bundle_of(tmp_path / "new", store, CLASSES, nets)
    active = bundle_of(tmp_path / "active", store, 18, nets)
    told: list[tuple[int, int]] = []
    found = compare(store, split, new, active, (), lambda done, total: told.append((done, total)))
    probes = len(probe_rows(store, split))
    assert (found["probes"], found["baseline"]) == (probes, "bundle")
    assert told == [(probes, 2 * probes), (2 * probes, 2 * probes)]
    wanted = searched_slowly(store, split, trained=True).figures(CLUSTERS)
    assert 0.5 < wanted["rank1"] < 1
    assert found["new"] == wanted
    wanted = searched_slowly(store, split, classes=18, trained=True).figures(CLUSTERS)
    assert found["active"] == wanted
    assert found["new"]["penetration"] == pytest.approx(1 / CLUSTERS)


def test_subjects_that_have_changed_are_live_with_the_active_bundle(
    store: EmbeddingStore, tmp_path: Path
) -> None:
    split = Split.of(store, seed=0)
    nets = class_means(store, within=split.training)
    wrong = np.roll(nets, 1, axis=0)
    new = bundle_of(tmp_path / "new", store, CLASSES, nets)
    active = bundle_of(tmp_path / "active", store, CLASSES, wrong)
    changed = [UUID(subject) for subject in store.subject_ids]
    live = compare(store, split, new, active, changed, lambda _done, _total: None)["active"]
    trained = compare(store, split, new, active, (), lambda _done, _total: None)["active"]
    # Only where they are hidden do the wrong weights do no harm.
    assert live["rank1"] > trained["rank1"]


def test_without_an_active_bundle_class_means_stand_against_it(
    store: EmbeddingStore, tmp_path: Path
) -> None:
    split = Split.of(store, seed=0)
    new = bundle_of(tmp_path / "new", store, CLASSES, class_means(store, within=split.training))
    found = compare(store, split, new, None, (), lambda _done, _total: None)
    assert found["baseline"] == "class means"
    assert found["active"] == searched_slowly(store, split, trained=False).figures(0)
    assert found["active"]["penetration"] == 1


def test_where_nobody_has_pictures_to_hold_out_nothing_is_compared(tmp_path: Path) -> None:
    store = store_with(tmp_path / "store", 4)
    split = Split.of(store, seed=0)
    new = bundle_of(tmp_path / "new", store, CLASSES, class_means(store, within=split.training))
    found = compare(store, split, new, new, (), lambda _done, _total: None)
    assert found == {"probes": 0, "baseline": "bundle", "new": None, "active": None}


def test_probes_are_the_tested_pictures_and_their_degraded_copies(store: EmbeddingStore) -> None:
    split = Split.of(store, seed=0)
    rows = probe_rows(store, split)
    assert len(rows) == 2 * CLASSES
    assert set(store.sources[rows]) == set(store.sources[split.test & store.originals])
    assert not split.training[rows].any()
    assert not split.validation[rows].any()
