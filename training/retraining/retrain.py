"""A retraining from the collection's tables to a bundle that is compared with the active one."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from models.bundle import Bundle
from models.zoo import read_manifest
from training.clusters.bounded_assignment import SizeBounds
from training.embedding.gallery import gallery_to_store
from training.retraining.changes import Changes, read_changes
from training.retraining.comparison import compare
from training.retraining.nets import publish_bundle, remake_clusters, remake_subnets
from training.retraining.progress import Stages
from training.retraining.refresh import Full, Refresh, plan_refresh
from training.run.clustering import Clusters, make_class_means, read_class_means
from training.run.folder import RunFolder, as_json
from training.run.job import Job
from training.run.nets import make_calibration, read_calibration
from training.run.refused import RunRefused
from training.run.run_settings import RunSettings
from training.settings import Workers
from training.stores.format import EmbedderIdentity
from training.stores.shards import write_whole

RESULTS = "retraining.json"


@dataclass(frozen=True)
class Wanted:
    """What is to be retrained, and how."""

    collection: UUID
    database_url: str = field(repr=False)
    master_key: bytes = field(repr=False)
    """That the service encrypts with."""
    embedder: Path
    """Manifest of the embedder that made the collection's templates."""
    active: Path | None = None
    """Folder of the bundle that is served; None: none is."""
    full: bool = False
    """All subnets are trained, whatever has changed."""
    seed: int | None = None
    """None: the active bundle's, or 0."""
    target_size: int | None = None
    """Classes a cluster; None: as ever."""
    jobs: int = 1
    """Subnets at a time."""


def retrain(folder: RunFolder, wanted: Wanted, stages: Stages) -> dict[str, Any]:
    """Train, publish and compare; all that is written is in the folder.

    Args:
        folder: for the bundle, the report, `RESULTS` and all that they are made from.
        wanted: what is to be done.
        stages: told of the stages.

    Returns:
        What `RESULTS` says.

    Raises:
        RunRefused: the folder has a training already, or the active bundle is of another
            collection, of none, or of another seed.
        BundleInvalid: the active bundle can't be used, or the new one does not fit together.
        GalleryUnusable: the collection can't be trained on.
        GalleryUnreachable: the database can't be read.
        SubnetsFailed: workers died again and again.
        OSError: a file can't be read or written.
    """
    if folder.store.exists() or folder.bundle.exists():
        raise RunRefused(f"{folder.path}: there is a training already; take another directory")
    manifest = read_manifest(wanted.embedder)
    embedder = EmbedderIdentity(manifest.name, manifest.sha256)
    active = None if wanted.active is None else _opened(wanted.active, embedder, wanted)
    seed = wanted.seed if active is None else active.manifest.seed
    settings = RunSettings().changed({"seed": seed, "target_size": wanted.target_size})
    job = Job(folder, settings, Workers(jobs=wanted.jobs))
    with stages.stage("read"):
        watermark = gallery_to_store(
            wanted.database_url, wanted.master_key, wanted.collection, folder.store, embedder
        )
        changes = _changes(wanted, active, watermark)
        counted = f"{len(job.store.subject_ids):,} subjects, {len(job.store):,} rows"
        stages.tell("read", 1, 1, f"{counted}, as of revision {watermark}")
    with stages.stage("class-means") as progress:
        make_class_means(job, progress)
    with stages.stage("cluster") as progress:
        refresh = _plan(job, wanted, active, changes, watermark)
        remake_clusters(job, refresh, progress)
        stages.tell("cluster", 1, 1, _said_of(refresh))
    with stages.stage("subnets") as progress:
        subnets = remake_subnets(job, refresh, progress)
    with stages.stage("calibrate") as progress:
        made = make_calibration(job, progress)
        stages.tell("calibrate", 1, 1, made.note)
    with stages.stage("publish"):
        bundle = publish_bundle(job, refresh, watermark)
    with stages.stage("evaluate") as progress:
        changed = [UUID(subject) for subject in changes.of_templates()]
        comparison = compare(job.store, job.split, bundle, active, changed, progress)
        if not comparison["probes"]:
            told = "nobody has pictures enough to hold some out: nothing could be compared"
            stages.tell("evaluate", 1, 1, told)
    with stages.stage("report"):
        results = {
            "bundle_id": bundle.id,
            "watermark": watermark,
            "classes": len(bundle.class_means),
            "subnets": subnets,
            "comparison": comparison,
        }
        _write_report(job, results)
    results["seconds"] = stages.seconds
    write_whole(folder.path / RESULTS, as_json(results))
    return results


def _opened(path: Path, embedder: EmbedderIdentity, wanted: Wanted) -> Bundle:
    active = Bundle.open(path, embedder=embedder)
    if active.manifest.collection != str(wanted.collection):
        raise RunRefused(f"{path}: was not made from collection {wanted.collection}")
    if wanted.seed not in (None, active.manifest.seed):
        raise RunRefused(
            f"{path}: was trained with the seed {active.manifest.seed}: with another one, pictures "
            "would be tested that it was trained with; leave --seed out"
        )
    return active


def _changes(wanted: Wanted, active: Bundle | None, watermark: int) -> Changes:
    """What has happened since the active bundle; nothing, if there is none."""
    if active is None:
        return Changes()
    since = active.manifest.watermark
    assert since is not None  # noqa: S101  (it was made from the collection)
    return read_changes(wanted.database_url, wanted.collection, after=since, up_to=watermark)


def _plan(
    job: Job, wanted: Wanted, active: Bundle | None, changes: Changes, watermark: int
) -> Refresh | Full:
    if active is None:
        return Full("there is no active bundle")
    if wanted.full:
        return Full("it was asked for")
    since = active.manifest.watermark
    if since is None or since > watermark:
        return Full("the collection's feed is behind the active bundle")
    return plan_refresh(
        active,
        job.store.subject_ids,
        read_class_means(job),
        changes,
        set(job.negatives.subject_ids.tolist()),
        SizeBounds.around(job.training.target_size),
    )


def _said_of(refresh: Refresh | Full) -> str:
    if isinstance(refresh, Full):
        return f"all subnets are trained: {refresh.reason}"
    return f"{len(refresh.trained)} of {len(refresh.carried)} subnets are trained again"


def _write_report(job: Job, results: dict[str, Any]) -> None:
    from training.evaluation.shown import shown_calibration
    from training.report.retraining import write_retraining

    write_retraining(
        job.folder.path,
        results,
        sizes=Clusters.read(job.folder.clusters).placement.sizes().tolist(),
        calibration=shown_calibration(read_calibration(job)),
        synthetic=job.store.manifest.synthetic,
    )
