"""What the commands of the stages have in common: the source, the locked directory, the lines."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from training.cli.display import answers, bar, elapsed, tell
from training.settings import Workers

if TYPE_CHECKING:
    from training.run.job import Job
    from training.run.sources import Gallery, Pictures
    from training.run.stages import Stage

DATABASE_URL = "COHORT_DATABASE_URL"


def source_of(
    images: Path | None, collection: str | None, min_images: int, embedder: Path
) -> "Pictures | Gallery | None":
    """What is to be embedded; None: nothing was said.

    Raises:
        typer.BadParameter: too much was said, or the database was not.
        MasterKeyInvalid: the key of its templates was not said, or is none.
    """
    from training.run.sources import Gallery, Pictures
    from vault.master import key_of_environment

    if images is not None and collection is not None:
        raise typer.BadParameter("--images and --collection exclude each other")
    if images is not None:
        return Pictures(images, min_images, embedder)
    if collection is None:
        return None
    if not os.environ.get(DATABASE_URL):
        raise typer.BadParameter(f"{DATABASE_URL} must say where the database is")
    master_key = key_of_environment(os.environ)
    return Gallery(collection, os.environ[DATABASE_URL], master_key, embedder)


@contextmanager
def opened_job(out: Path, workers: Workers, given: dict[str, Any]) -> Iterator["Job"]:
    """Lock the directory, and keep the settings that were given for later stages.

    Args:
        out: the run directory.
        workers: that train subnets.
        given: settings by their names; None leaves one as the run has it.

    Raises:
        RunRefused: the directory is in use, or its settings can't be read.
    """
    from training.run.folder import RunFolder
    from training.run.job import Job
    from training.run.run_settings import RunSettings

    folder = RunFolder(out)
    with folder.locked():
        settings = RunSettings.read(folder.settings).changed(given)
        _check_device(settings.training.subnets.device)
        settings.write(folder.settings)
        yield Job(folder, settings, workers)


def _check_device(device: str) -> None:
    """Before it is written down: a later command would go on with it."""
    if device != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        raise typer.BadParameter(
            "there is no CUDA device that torch can use; take auto or cpu", param_hint="--device"
        )


def one_stage(name: str, out: Path, workers: Workers, given: dict[str, Any]) -> None:
    """Carry out one stage of a directory; arguments as for `opened_job`.

    Raises:
        RunRefused: there is no such directory, and as `opened_job` and the stage do.
    """
    from training.run.refused import RunRefused
    from training.run.stages import BY_NAME

    if not out.is_dir():
        raise RunRefused(
            f"{out}: there is no such directory; run `python -m training embed` first, which "
            "makes it"
        )
    with opened_job(out, workers, given) as job:
        carry_out(job, BY_NAME[name])


def embed_source(job: "Job", source: "Pictures | Gallery") -> None:
    """Make the store, shown at work."""
    from training.run.sources import embed

    started = time.monotonic()
    kept = job.folder.store.exists()
    with bar("embed") as progress:
        note = embed(job.folder, source, progress)
    tell("embed", "kept" if kept else elapsed(started), note)


def carry_out(job: "Job", stage: "Stage") -> None:
    """Carry out a stage, shown at work."""
    from training.run import stages

    started = time.monotonic()
    with bar(stage.name) as progress:
        outcome = stages.carry_out(job, stage, progress)
    tell(stage.name, "kept" if outcome.kept else elapsed(started), outcome.note)


def conclude(job: "Job") -> None:
    """Say what a run has come to: key figures, bundle and report."""
    from models.bundle_format import MANIFEST, BundleManifest
    from training.report.headline import headline
    from training.run.nets import read_evaluation

    found = headline(read_evaluation(job))
    for said in found.sentences:
        answers.print(said, markup=False)
    for what, value, against in found.figures:
        answers.print(f"{what}: {value} ({against})", markup=False)
    manifest = BundleManifest.read(job.folder.bundle / MANIFEST)
    answers.print(f"bundle: {job.folder.bundle}", markup=False)
    answers.print(f"bundle id: {manifest.id}", markup=False)
    answers.print(f"report: {job.folder.report}", markup=False)
