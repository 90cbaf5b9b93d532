from itertools import product
from pathlib import Path

import numpy as np
import pytest

from models.fusion import UNTRAINED
from tests.training.evaluation.galleries import photographed
from training.clusters.cluster import cluster_classes
from training.clusters.placement import by_mean
from training.evaluation.contenders import Workshop, families, flat_net
from training.evaluation.extras import SHOWN, growth, losses, starts
from training.evaluation.metrics import identification
from training.evaluation.scenarios import SCENARIOS
from training.heads import HEADS
from training.searching.probes import probe_sets
from training.searching.search import Enrolled, Nets
from training.settings import TrainingSettings, Workers
from training.split import Split
from training.subnets.settings import SubnetSettings

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """Of 48 subjects, of whom eight are tested."""
    store = photographed(tmp_path / "store", [5] * 8 + [3] * 40)
    split = Split.of(store, seed=1)
    return Workshop(
        store=store,
        split=split,
        enrolled=Enrolled.of(store, split.training),
        settings=TrainingSettings(subnets=SubnetSettings(epochs=1, device="cpu")),
        workers=Workers(jobs=1),
        folder=tmp_path / "nets",
    )


def test_growth_keeps_the_tested_and_leaves_out_sizes_below_them(workshop: Workshop) -> None:
    steps: list[None] = []
    records = list(growth(workshop, 10, UNTRAINED, lambda: steps.append(None)))
    # An eighth of them would be six, who are fewer than are tested; a step is told for each size.
    assert [record["classes"] for record in records] == [12] * 24 + [24] * 24
    assert len(steps) == 3
    assert {record["probes"] for record in records} == set(SHOWN)
    assert [record["scenario"] for record in records[:8]] == list(SCENARIOS)
    assert all(0 <= record[name] <= 1 for record in records for name in ("recall", "f1"))
    folders = {path.name for path in workshop.folder.iterdir()}
    assert folders == {"growth-12", "growth-24"}


def test_each_loss_decides_alone_in_the_cluster_of_the_vote(workshop: Workshop) -> None:
    trained = families(workshop, 12, flat_net(workshop))
    records = list(losses(workshop, trained, lambda: None))
    assert [record["head"] for record in records] == list(np.repeat(list(HEADS), len(SHOWN)))
    enrolled = workshop.enrolled
    sets = probe_sets(workshop.store, workshop.split.test, enrolled)
    placement = by_mean(cluster_classes(enrolled.class_means, target_size=12))
    for record in records:
        own = record["head"] == workshop.settings.subnets.head
        folder = workshop.folder / ("ours-12" if own else f"loss-{record['head']}")
        nets = Nets.open(sorted(folder.glob("*.onnx")), placement)
        probes = sets[record["probes"]]
        shares = nets.shares(enrolled.mean_cosines(probes.templates))
        best = []
        for template, cluster in zip(probes.templates, shares.argmax(axis=1), strict=True):
            (cosines,) = nets.sessions[cluster].run(None, {"template": template[None]})
            best.append(placement.classes_in(int(cluster))[cosines.argmax()])
        found = identification(np.array(best, np.int32), probes.true)
        assert record["recall"] == pytest.approx(found.recall)
        assert record["epochs"] in {0.0, 0.25, 0.5, 0.75, 1.0}


def test_starts_agree_with_one_probe_at_a_time(workshop: Workshop) -> None:
    steps: list[None] = []
    trained = families(workshop, 12, flat_net(workshop))
    records = list(starts(workshop, trained, lambda: steps.append(None)))
    assert len(steps) == 1
    keys = [(row["split"], row["initialisation"], row["probes"]) for row in records]
    assert keys == list(product(("random", "clustered"), ("class-mean", "random"), SHOWN))
    sets = probe_sets(workshop.store, workshop.split.test, workshop.enrolled)
    for record in records:
        at_random = record["split"] == "random"
        clustering = trained.random_split if at_random else trained.clustering
        placement = by_mean(clustering)
        if record["initialisation"] == "class-mean":
            nets = trained.random if at_random else trained.clusters
        else:
            folder = workshop.folder / f"{record['split']}-from-random"
            nets = Nets.open(sorted(folder.glob("*.onnx")), placement)
        probes = sets[record["probes"]]
        anywhere: list[int] = []
        nearest: list[int] = []
        for template in probes.templates:
            answers = [net.run(None, {"template": template[None]})[0][0] for net in nets.sessions]
            best = int(np.argmax([answer.max() for answer in answers]))
            own = clustering.clusters[(workshop.enrolled.class_means @ template).argmax()]
            for cluster, found in ((best, anywhere), (int(own), nearest)):
                found.append(placement.classes_in(cluster)[answers[cluster].argmax()])
        by_max, by_nearest = np.array(anywhere, np.int32), np.array(nearest, np.int32)
        right = clustering.clusters[by_max] == clustering.clusters[probes.true]
        assert record["found_by_max_max"] == pytest.approx(right.mean())
        assert record["f1_max_max"] == pytest.approx(identification(by_max, probes.true).f1)
        assert record["f1_nearest"] == pytest.approx(identification(by_nearest, probes.true).f1)
