from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.evaluation.galleries import photographed
from training.clusters.placement import Placement
from training.evaluation.contenders import Workshop, families, flat_net
from training.searching.search import Enrolled, Nets
from training.settings import TrainingSettings, Workers
from training.split import Split
from training.stores.format import Kind
from training.subnets.files import SubnetRecord
from training.subnets.settings import SubnetSettings

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """Of whom every third one is not enrolled."""
    store = photographed(tmp_path / "store", [5] * 36)
    split = Split.of(store, seed=1)
    return Workshop(
        store=store,
        split=split,
        enrolled=Enrolled.of(store, split.training & (store.labels % 3 != 0)),
        settings=TrainingSettings(
            seed=1, placement="any", subnets=SubnetSettings(epochs=2, device="cpu")
        ),
        workers=Workers(jobs=1),
        folder=tmp_path / "nets",
    )


def answers(workshop: Workshop, nets: Nets) -> float:
    """Share of the samples that they put first."""
    scores = nets.over_classes(nets.cosines(workshop.enrolled.samples))
    own = np.repeat(np.arange(len(workshop.enrolled.classes)), workshop.enrolled.sample_counts())
    return float((scores.argmax(axis=1) == own).mean())


def test_all_families_know_the_enrolled_classes(workshop: Workshop) -> None:
    flat = flat_net(workshop)
    trained = families(workshop, 8, flat)
    assert flat.placement.sizes().tolist() == [24]
    assert trained.flat is flat
    assert len(trained.clustering.centroids) == len(trained.random_split.centroids) == 3
    assert trained.random.placement.sizes().tolist() == [8, 8, 8]
    for nets in (trained.random, trained.clusters, trained.ours):
        assert len(nets.sessions) == nets.placement.cluster_count == 3
        assert answers(workshop, nets) > 0.9
    chosen = trained.ways.placements["any"]
    np.testing.assert_array_equal(trained.ours.placement.classes, chosen.classes)
    np.testing.assert_array_equal(trained.clusters.placement.clusters, trained.clustering.clusters)
    assert all(isinstance(record, SubnetRecord) for record in trained.trained)
    assert len(trained.trained) == 3
    folders = {path.name for path in workshop.folder.iterdir()}
    assert folders == {"flat", "random-8", "clusters-8", "ours-8"}


def test_plain_nets_never_see_degraded_copies(workshop: Workshop) -> None:
    """Their bytes stay the same when there are none; those of ours do not."""
    degraded = workshop.store.kinds == Kind.DEGRADED
    split = workshop.split
    without = replace(
        workshop,
        split=Split(split.training & ~degraded, split.validation & ~degraded, split.test),
        folder=workshop.folder / "without",
    )
    for one in (workshop, without):
        families(one, 30, flat_net(one))

    def same(name: str) -> bool:
        nets = (one.folder / name / "subnet-000000.onnx" for one in (workshop, without))
        return len({net.read_bytes() for net in nets}) == 1

    assert same("flat")
    assert same("random-30")
    assert same("clusters-30")
    assert not same("ours-30")


def one_net(workshop: Workshop, folder: str, **how: Any) -> bytes:
    """A plain net over all enrolled classes."""
    classes = np.arange(len(workshop.enrolled.classes), dtype=np.int32)
    everybody = Placement(classes, np.zeros_like(classes), 1)
    apart = replace(workshop, folder=workshop.folder / folder)
    nets, (record,) = apart.plain(everybody, "net", **how)
    assert len(nets.sessions) == 1
    return (apart.folder / "net" / record.file).read_bytes()


def test_plain_nets_are_trained_as_the_paper_says(workshop: Workshop) -> None:
    """Whatever the settings of ours are, but for the device."""
    subnets = replace(workshop.settings.subnets, head="softmax", learning_rate=0.1)
    other = replace(workshop, settings=replace(workshop.settings, subnets=subnets))
    assert one_net(workshop, "one") == one_net(other, "other")


def test_plain_nets_can_start_at_random(workshop: Workshop) -> None:
    from_means = one_net(workshop, "means")
    assert one_net(workshop, "named", initialisation="class-mean") == from_means
    assert one_net(workshop, "random", initialisation="random") != from_means
