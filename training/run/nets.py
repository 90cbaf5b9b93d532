"""The stages in which nets are trained or asked: `subnets`, `calibrate`, `evaluate`."""

import json
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.clusters.placement import Placement
from training.run.clustering import Clusters
from training.run.folder import RunFolder, as_json
from training.run.job import Job, Made, Progress
from training.stores.shards import write_whole

if TYPE_CHECKING:
    from training.subnets.tasks import SubnetPlan

FLAT_BATCHES = 60
"""Of the flat layer's epoch that are timed; the others are assumed to take as long."""
EPOCH_STEPS = 5
SHOWN_FPIR = 0.01
ALIKE = 0.9
"""Cosine that two people hardly have; one and the same person in two pictures has about 0.7."""


def make_subnets(job: Job, progress: Progress) -> Made:
    """Train one subnet a cluster.

    Raises:
        SubnetsFailed: workers died again and again.
    """
    from training.subnets.tasks import train_subnets

    records = train_subnets(
        job.folder.subnets,
        subnet_plan(job),
        jobs=job.workers.jobs,
        backend=job.workers.backend,
        progress=progress,
    )
    files = tuple(job.folder.subnets / record.file for record in records)
    for path in job.folder.subnets.glob("subnet-*"):
        # Of an earlier clustering with more clusters.
        if path.with_suffix(".onnx") not in files:
            path.unlink()
    epochs = sum(record.best for record in records) / len(records)
    return Made(files, f"{len(files)} trained, the best after {epochs:.1f} epochs in the mean")


def make_calibration(job: Job, _progress: Progress) -> Made:
    """Learn from validation pictures how to search and how to decide."""
    from training.calibration.calibrate import calibrate
    from training.searching.search import Enrolled, Nets

    placement = Clusters.read(job.folder.clusters).placement
    document = calibrate(
        job.store,
        job.split,
        Enrolled.of(job.store, job.split.training),
        Nets.open(subnet_files(job.folder, placement), placement),
    )
    write_whole(job.folder.calibration, as_json(document))
    return Made((job.folder.calibration,), _calibration_note(document))


def _calibration_note(document: dict[str, Any]) -> str:
    if not document["thresholds"]:
        return "too few pictures to calibrate with; the service will go by its own"
    (row,) = (row for row in document["thresholds"] if row["fpir"] == SHOWN_FPIR)
    (size,) = (size for size in row["by_gallery_size"] if size["times"] == 1)
    note = f"a threshold of {size['threshold']:.3f} for an FPIR of {SHOWN_FPIR}"
    if size["threshold"] >= ALIKE:
        note += "; some subjects look the same as others: is anybody enrolled twice?"
    return note if document["validation"] else f"{note}; too few pictures to calibrate weights"


def make_evaluation(job: Job, progress: Progress) -> Made:
    """Measure on test pictures, in repetitions.

    Raises:
        SubnetsFailed: workers died again and again.
    """
    from training.evaluation.evaluate import evaluate

    document = evaluate(
        job.store,
        job.folder.evaluation_parts,
        job.training,
        job.workers,
        repetitions=job.settings.repetitions,
        progress=progress,
    )
    write_whole(job.folder.evaluation, as_json(document))
    many = job.settings.repetitions
    return Made((job.folder.evaluation,), f"{many} repetition{'' if many == 1 else 's'} measured")


def make_epochs(job: Job, progress: Progress) -> Made:
    """Time an epoch of one layer over all classes against one of the subnets."""
    from training.evaluation.evaluate import MOST_COMPARED
    from training.timing.epochs import time_epochs

    classes = len(job.store.subject_ids)
    if classes > MOST_COMPARED:
        job.folder.epochs.unlink(missing_ok=True)
        return Made((), f"not measured: one layer over {classes:,} classes would take too long")
    steps = count(1)
    times = time_epochs(
        subnet_plan(job),
        flat_batches=FLAT_BATCHES,
        progress=lambda _step: progress(next(steps), EPOCH_STEPS),
    )
    write_whole(job.folder.epochs, as_json(asdict(times)))
    return Made(
        (job.folder.epochs,),
        f"{times.flat_seconds:.3g} s in one layer, {times.serial_seconds:.3g} s in subnets, on one "
        "thread",
    )


def subnet_plan(job: Job) -> "SubnetPlan":
    """What the subnets of the run's clusters are trained on, and how."""
    from training.subnets.tasks import SubnetPlan

    return SubnetPlan(
        store=job.store,
        placement=Clusters.read(job.folder.clusters).placement,
        training=job.split.training,
        validation=job.split.validation,
        settings=job.training.subnets,
        seed=job.training.seed,
        negatives=job.negatives,
    )


def subnet_files(folder: RunFolder, placement: Placement) -> list[Path]:
    """The net of each cluster, in order."""
    return [
        folder.subnets / f"subnet-{number:06}.onnx" for number in range(placement.cluster_count)
    ]


def read_calibration(job: Job) -> dict[str, Any]:
    """What `calibrate` found."""
    document: dict[str, Any] = json.loads(job.folder.calibration.read_bytes())
    return document


def read_evaluation(job: Job) -> dict[str, Any]:
    """What `evaluate` found."""
    document: dict[str, Any] = json.loads(job.folder.evaluation.read_bytes())
    return document
