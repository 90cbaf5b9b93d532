"""The stages after `embed`, in their order: what each is made from, and whether it is to be made.

A stage's digest is that of its settings and of what the stages before it made. A record with
another digest does not count, so results of different settings are never mixed.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from training.run.clustering import make_class_means, make_clusters
from training.run.folder import StageRecord, digest_of
from training.run.job import Job, Made, Progress
from training.run.nets import make_calibration, make_epochs, make_evaluation, make_subnets
from training.run.refused import RunRefused
from training.run.results import make_bundle, make_report
from training.run.run_settings import RunSettings
from training.run.sources import watermark
from training.stores.format import MANIFEST, file_sha256

EMBED = "embed"


@dataclass(frozen=True)
class Stage:
    """One stage."""

    name: str
    """As on the command line."""
    after: tuple[str, ...]
    """Stages whose outputs it reads."""
    decided_by: Callable[[RunSettings], Any]
    """The settings that it depends on, in JSON's types."""
    make: Callable[[Job, Progress], Made]


def _of_clusters(settings: RunSettings) -> Any:
    training = asdict(settings.training)
    return {name: training[name] for name in ("seed", "target_size", "placement", "minimum_share")}


STAGES = (
    Stage("class-means", (EMBED,), lambda settings: settings.training.seed, make_class_means),
    Stage("cluster", (EMBED, "class-means"), _of_clusters, make_clusters),
    Stage(
        "subnets",
        (EMBED, "cluster"),
        lambda settings: [asdict(settings.training.subnets), settings.training.seed],
        make_subnets,
    ),
    Stage(
        "calibrate",
        (EMBED, "cluster", "subnets"),
        lambda settings: settings.training.seed,
        make_calibration,
    ),
    Stage("evaluate", (EMBED,), asdict, make_evaluation),
    Stage(
        "publish",
        (EMBED, "class-means", "cluster", "subnets", "calibrate", "evaluate"),
        lambda settings: settings.training.seed,
        make_bundle,
    ),
    Stage(
        "epochs",
        (EMBED, "cluster"),
        lambda settings: [asdict(settings.training.subnets), settings.training.seed],
        make_epochs,
    ),
    Stage("report", (EMBED, "cluster", "evaluate", "epochs"), lambda _settings: None, make_report),
)
BY_NAME = {stage.name: stage for stage in STAGES}


@dataclass(frozen=True)
class Outcome:
    """How a stage ended."""

    note: str
    """What came out, in a sentence."""
    kept: bool
    """It had been finished before."""


def carry_out(job: Job, stage: Stage, progress: Progress) -> Outcome:
    """Make what a stage makes, unless it is there whole and made from the same.

    Args:
        job: the directory is locked by the caller.
        stage: one of `STAGES`.
        progress: told how far it is.

    Raises:
        RunRefused: a stage before is not finished, or what there is can't be trained on.
        ValueError: of the subclasses that a stage raises.
        OSError: a file can't be read or written. What was finished stays, here as above.
    """
    digest = made_from(job, stage)
    record = job.folder.kept(stage.name, digest)
    if record is not None:
        return Outcome(record.note, kept=True)
    made = stage.make(job, progress)
    record = job.folder.keep(stage.name, digest, made.outputs, note=made.note)
    return Outcome(record.note, kept=False)


def finished(job: Job, name: str) -> StageRecord | None:
    """The record of a stage after `embed`, if it was made from what there is now, or None.

    Raises:
        RunRefused: a stage before it is not.
    """
    return job.folder.kept(name, made_from(job, BY_NAME[name]))


def made_from(job: Job, stage: Stage) -> str:
    """Digest of what a stage would be made from now.

    Raises:
        RunRefused: a stage before it is not finished.
        StoreInvalid: a file of the store was changed or damaged.
    """
    before = {name: _digest(job, name) for name in stage.after}
    return digest_of({"settings": stage.decided_by(job.settings), "after": before})


def _digest(job: Job, name: str) -> str:
    if name == EMBED:
        # Opening it verifies all that the manifest vouches for.
        beside = job.folder.negatives
        negatives = file_sha256(beside) if beside.is_file() else None
        manifest = file_sha256(job.store.folder / MANIFEST)
        return digest_of([manifest, watermark(job.folder), negatives])
    record = finished(job, name)
    if record is None:
        raise RunRefused(
            f"{job.folder.path}: the stage {name!r} is not finished, or was made with other "
            f"settings; run `python -m training {name} --out {job.folder.path}` first"
        )
    return record.digest
