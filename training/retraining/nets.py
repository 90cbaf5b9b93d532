"""The stages in which a retraining differs from a run: clusters, subnets and the bundle."""

from typing import Any

import numpy as np

from models.bundle import Bundle
from training.clusters.class_means import class_means
from training.clusters.cluster import clustering_of
from training.clusters.placement import by_mean
from training.publish import BundleContents, Subnet, publish
from training.retraining.kept import keep_subnet
from training.retraining.refresh import CARRIED, Full, Refresh
from training.run.clustering import Clusters, make_clusters, read_class_means
from training.run.job import Job, Progress
from training.run.nets import make_subnets, read_calibration, subnet_files, subnet_plan
from training.run.sources import collection_id


def remake_clusters(job: Job, refresh: Refresh | Full, progress: Progress) -> None:
    """Write the clusters: new ones, or those that there were with who is there now."""
    if isinstance(refresh, Full):
        make_clusters(job, progress)
        return
    clustering = clustering_of(read_class_means(job), refresh.clusters, len(refresh.carried))
    Clusters(clustering, by_mean(clustering)).write(job.folder.clusters)


def remake_subnets(job: Job, refresh: Refresh | Full, progress: Progress) -> dict[str, Any]:
    """Write all nets, trained or taken over.

    Returns:
        In JSON's types: how many there are (`total`), the numbers of those that were `trained`
        and the `reasons` by them, how many were `kept` as they were and how many `extended`
        (somebody came or went), and whether all were trained (`full`) and `why`.

    Raises:
        SubnetsFailed: workers died again and again.
    """
    if isinstance(refresh, Full):
        make_subnets(job, progress)
        count = Clusters.read(job.folder.clusters).placement.cluster_count
        return _counted(count, list(range(count)), 0) | {"full": True, "why": refresh.reason}
    from training.subnets.tasks import train_subnets

    trained, means = sorted(refresh.trained), read_class_means(job)
    count = len(refresh.carried)
    files = subnet_files(job.folder, Clusters.read(job.folder.clusters).placement)
    job.folder.subnets.mkdir()
    kept = [number for number in range(count) if number not in refresh.trained]
    extended = sum(keep_subnet(refresh, number, means, files[number]) for number in kept)
    train_subnets(
        job.folder.subnets,
        subnet_plan(job),
        numbers=trained,
        jobs=job.workers.jobs,
        backend=job.workers.backend,
        progress=progress,
    )
    reasons = {str(number): refresh.trained[number] for number in trained}
    return _counted(count, trained, extended) | {"full": False, "reasons": reasons}


def _counted(total: int, trained: list[int], extended: int) -> dict[str, Any]:
    return {
        "total": total,
        "trained": trained,
        "kept": total - len(trained) - extended,
        "extended": extended,
        "reasons": {},
        "why": "",
    }


def publish_bundle(job: Job, refresh: Refresh | Full, watermark: int) -> Bundle:
    """Write the bundle and open it.

    Raises:
        BundleInvalid: what the stages made does not fit together; the message names the file.
    """
    placement = Clusters.read(job.folder.clusters).placement
    files = subnet_files(job.folder, placement)
    if isinstance(refresh, Full):
        imprinted, carried = np.zeros(len(job.store.subject_ids), np.bool_), [0] * len(files)
    else:
        imprinted, carried = refresh.imprinted, refresh.carried
    contents = BundleContents(
        embedder=job.store.manifest.embedder,
        subject_ids=job.store.subject_ids,
        # Of all pictures, unlike those that were trained and tested with: as serving has them.
        class_means=class_means(job.store),
        imprinted=imprinted,
        subnets=[Subnet(file, placement.classes_in(number)) for number, file in enumerate(files)],
        calibration=read_calibration(job),
        evaluation={CARRIED: carried},
        seed=job.training.seed,
        synthetic=job.store.manifest.synthetic,
        watermark=watermark,
        collection=collection_id(job.folder),
    )
    publish(contents, job.folder.bundle)
    return Bundle.open(job.folder.bundle, embedder=contents.embedder)
