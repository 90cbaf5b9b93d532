"""One command a stage, and `run` for all of them."""

import typer

from models.weights import DEFAULT_EMBEDDER
from training.cli.options import (
    Backend,
    Collection,
    Device,
    EmbedderManifest,
    Epochs,
    Head,
    Images,
    Initialisation,
    Jobs,
    MinImages,
    PlacementOption,
    Repetitions,
    RunDirectory,
    Scheduler,
    Seed,
    TargetSize,
    connected_workers,
)
from training.cli.work import carry_out, conclude, embed_source, one_stage, opened_job, source_of
from training.settings import Workers


def embed(
    out: RunDirectory,
    images: Images = None,
    collection: Collection = None,
    min_images: MinImages = 1,
    embedder: EmbedderManifest = DEFAULT_EMBEDDER,
) -> None:
    """Turn pictures, or a collection of the service, into the run's store of templates."""
    source = source_of(images, collection, min_images, embedder)
    if source is None:
        raise typer.BadParameter("one of --images and --collection is needed")
    with opened_job(out, Workers(), {}) as job:
        embed_source(job, source)


def class_means(out: RunDirectory, seed: Seed = None) -> None:
    """Hold pictures out to validate and to test; make each class's mean of the others."""
    one_stage("class-means", out, Workers(), {"seed": seed})


def cluster(
    out: RunDirectory, target_size: TargetSize = None, placement: PlacementOption = None
) -> None:
    """Put similar classes together."""
    one_stage("cluster", out, Workers(), {"target_size": target_size, "placement": placement})


def subnets(
    out: RunDirectory,
    head: Head = None,
    initialisation: Initialisation = None,
    epochs: Epochs = None,
    device: Device = None,
    jobs: Jobs = -1,
    backend: Backend = "loky",
    scheduler: Scheduler = None,
) -> None:
    """Train one small net a cluster."""
    settings = {"head": head, "initialisation": initialisation, "epochs": epochs, "device": device}
    with connected_workers(jobs, backend, scheduler) as workers:
        one_stage("subnets", out, workers, settings)


def calibrate(out: RunDirectory) -> None:
    """Learn how many clusters to search, what each score weighs, and the thresholds."""
    one_stage("calibrate", out, Workers(), {})


def evaluate(
    out: RunDirectory,
    repetitions: Repetitions = None,
    jobs: Jobs = -1,
    backend: Backend = "loky",
    scheduler: Scheduler = None,
) -> None:
    """Measure, on test pictures, the ways to search side by side."""
    with connected_workers(jobs, backend, scheduler) as workers:
        one_stage("evaluate", out, workers, {"repetitions": repetitions})


def publish(out: RunDirectory) -> None:
    """Write the bundle that the service searches with."""
    one_stage("publish", out, Workers(), {})


def epochs(out: RunDirectory) -> None:
    """Time an epoch of one layer over all classes against one of the subnets."""
    one_stage("epochs", out, Workers(), {})


def report(out: RunDirectory) -> None:
    """Write the report: one page, and its figures as JSON and CSV."""
    one_stage("report", out, Workers(), {})


def run(
    out: RunDirectory,
    images: Images = None,
    collection: Collection = None,
    min_images: MinImages = 1,
    embedder: EmbedderManifest = DEFAULT_EMBEDDER,
    seed: Seed = None,
    target_size: TargetSize = None,
    placement: PlacementOption = None,
    head: Head = None,
    initialisation: Initialisation = None,
    epochs: Epochs = None,
    device: Device = None,
    repetitions: Repetitions = None,
    jobs: Jobs = -1,
    backend: Backend = "loky",
    scheduler: Scheduler = None,
) -> None:
    """All stages in their order, from pictures to bundle and report.

    What is finished is kept: run the same command again after an interruption. Without --images
    and --collection it goes on from the store that is there.
    """
    from training.run.folder import RunFolder
    from training.run.stages import STAGES

    source = source_of(images, collection, min_images, embedder)
    if source is None and not RunFolder(out).store.exists():
        raise typer.BadParameter(
            f"one of --images and --collection is needed: there is no store in {out} yet"
        )
    settings = {
        "seed": seed,
        "target_size": target_size,
        "placement": placement,
        "head": head,
        "initialisation": initialisation,
        "epochs": epochs,
        "device": device,
        "repetitions": repetitions,
    }
    with (
        connected_workers(jobs, backend, scheduler) as workers,
        opened_job(out, workers, settings) as job,
    ):
        if source is not None:
            embed_source(job, source)
        for stage in STAGES:
            carry_out(job, stage)
        conclude(job)
