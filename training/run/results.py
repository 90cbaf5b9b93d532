"""The last stages: `publish` and `report`."""

import json
import shutil
from collections import Counter
from typing import Any

import numpy as np

from training.clusters.class_means import class_means
from training.publish import BundleContents, Subnet, publish
from training.run.clustering import Clusters
from training.run.folder import RunFolder
from training.run.job import Job, Made, Progress
from training.run.nets import read_calibration, read_evaluation, subnet_files
from training.run.sources import collection_id, watermark


def make_bundle(job: Job, _progress: Progress) -> Made:
    """Publish; a bundle that is there is replaced once the new one is verified.

    Raises:
        BundleInvalid: what the stages made does not fit together; the message names the file.
        IndexLossy: the index over the class means misses too many of them.
    """
    placement = Clusters.read(job.folder.clusters).placement
    contents = BundleContents(
        embedder=job.store.manifest.embedder,
        subject_ids=job.store.subject_ids,
        # Of all pictures, unlike those that were trained and tested with: as serving has them.
        class_means=class_means(job.store),
        imprinted=np.zeros(len(job.store.subject_ids), np.bool_),
        subnets=[
            Subnet(file, placement.classes_in(number))
            for number, file in enumerate(subnet_files(job.folder, placement))
        ],
        calibration=read_calibration(job),
        evaluation=read_evaluation(job)["summary"],
        seed=job.training.seed,
        synthetic=job.store.manifest.synthetic,
        watermark=watermark(job.folder),
        collection=collection_id(job.folder),
    )
    bundle_id = _replaced(job.folder, contents)
    files = tuple(path for path in job.folder.bundle.rglob("*") if path.is_file())
    return Made(files, f"{job.folder.bundle}, id {bundle_id}")


def make_report(job: Job, _progress: Progress) -> Made:
    """Write the page and the tables."""
    from training.embedding.folders import SKIPPED
    from training.embedding.skipped import read_skipped
    from training.report.write import FIGURES, write_report

    known: dict[str, Any] = {"clusters": [json.loads(job.folder.clusters_summary.read_bytes())]}
    skipped = job.folder.path / SKIPPED
    if skipped.is_file():
        known["skipped"] = Counter(each.reason for each in read_skipped(skipped))
    epochs = job.folder.epochs
    page = write_report(
        known | read_evaluation(job),
        job.folder.path,
        title="Training report",
        epochs=json.loads(epochs.read_bytes()) if epochs.is_file() else None,
    )
    outputs = (page, job.folder.path / FIGURES, *job.folder.tables.glob("*.csv"))
    return Made(outputs, str(page))


def _replaced(folder: RunFolder, contents: BundleContents) -> str:
    new, old = (folder.bundle.with_name(f"bundle.{state}") for state in ("new", "old"))
    if old.exists() and not folder.bundle.exists():
        # A kill came between the two renames below: what was there until then is there again.
        old.rename(folder.bundle)
    for left in (new, old):
        if left.exists():
            shutil.rmtree(left)
    bundle_id = publish(contents, new)
    if folder.bundle.exists():
        folder.bundle.rename(old)
    new.rename(folder.bundle)
    if old.exists():
        shutil.rmtree(old)
    return bundle_id
