"""A plan of three small subnets, and tasks that show what becomes of them."""

import os
from pathlib import Path

from tests.training.people import last_originals, people
from training.clusters.class_means import class_means
from training.clusters.cluster import cluster_classes
from training.clusters.placement import by_mean
from training.subnets.files import SubnetDone
from training.subnets.rows import SubnetRows
from training.subnets.settings import SubnetSettings
from training.subnets.tasks import SubnetPlan, train_and_export


def three_subnets(folder: Path) -> SubnetPlan:
    """Of eighteen people, whose store is made in a folder."""
    store = people(folder / "store", 18)
    validation = last_originals(store)
    clustering = cluster_classes(class_means(store, within=~validation), target_size=6)
    return SubnetPlan(
        store=store,
        placement=by_mean(clustering),
        training=~validation,
        validation=validation,
        settings=SubnetSettings(epochs=3, batch_size=16, device="cpu"),
        seed=4,
    )


def noted(log: Path, rows: SubnetRows, settings: SubnetSettings, seed: int) -> SubnetDone:
    """Leave a line for each subnet begun."""
    with log.open("a") as file:
        file.write(f"{seed}\n")
    return train_and_export(rows, settings, seed)


def dies_once(
    log: Path, doomed: int, rows: SubnetRows, settings: SubnetSettings, seed: int
) -> SubnetDone:
    """End the worker's process the first time that it gets the doomed subnet."""
    marker = log.with_name("died")
    if seed == doomed and not marker.exists():
        marker.touch()
        os._exit(9)
    return noted(log, rows, settings, seed)


def nets(folder: Path) -> dict[str, bytes]:
    """The finished nets' bytes, by file name."""
    return {path.name: path.read_bytes() for path in folder.glob("*.onnx")}
