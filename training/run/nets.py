"""The stages in which nets are trained or asked: `subnets`, `calibrate`, `evaluate`."""

import json
from pathlib import Path
from typing import Any

from training.clusters.placement import Placement
from training.run.clustering import Clusters
from training.run.folder import RunFolder, as_json
from training.run.job import Job, Made, Progress
from training.run.refused import RunRefused
from training.stores.shards import write_whole


def make_subnets(job: Job, progress: Progress) -> Made:
    """Train one subnet a cluster.

    Raises:
        SubnetsFailed: workers died again and again.
    """
    from training.subnets.tasks import SubnetPlan, train_subnets

    plan = SubnetPlan(
        store=job.store,
        placement=Clusters.read(job.folder.clusters).placement,
        training=job.split.training,
        validation=job.split.validation,
        settings=job.training.subnets,
        seed=job.training.seed,
    )
    records = train_subnets(
        job.folder.subnets,
        plan,
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
    """Learn from validation pictures how to search and how to decide.

    Raises:
        RunRefused: there are too few subjects.
    """
    from training.calibration.calibrate import calibrate
    from training.evaluation.search import Enrolled, Nets
    from training.evaluation.strangers import FEWEST_SUBJECTS

    if len(job.store.subject_ids) < FEWEST_SUBJECTS:
        raise RunRefused(
            f"{job.folder.store}: has {len(job.store.subject_ids)} subjects, and decisions are "
            f"calibrated with {FEWEST_SUBJECTS} at least; add subjects"
        )
    placement = Clusters.read(job.folder.clusters).placement
    document = calibrate(
        job.store,
        job.split,
        Enrolled.of(job.store, job.split.training),
        Nets.open(subnet_files(job.folder, placement), placement),
    )
    write_whole(job.folder.calibration, as_json(document))
    return Made((job.folder.calibration,), "search, weights and thresholds are set")


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
