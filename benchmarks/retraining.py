"""A retraining of a running service over HTTP: begun, and followed to its end."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from rich.console import Console

from benchmarks.service import Client

UNFINISHED = ("queued", "running", "evaluating")
POLL_S = 0.5

Job = dict[str, Any]


class NotPublished(RuntimeError):
    """A retraining ended, but not with a bundle in use."""


def begin(client: Client, *, collection: str = "default", target_size: int | None = None) -> Job:
    """Ask for a retraining; gives the job as it is now.

    Args:
        client: of the service.
        collection: its name.
        target_size: subjects a cluster; None: the service's default.

    Raises:
        RuntimeError: the service refuses.
    """
    wanted = {"collection": collection, "target_size": target_size}
    status, job = client.post_json("/admin/retrain", wanted)
    if status != 202:
        raise RuntimeError(f"the retraining was refused with {status}: {job}")
    return job


def follow(
    client: Client, job: Job, *, meanwhile: Callable[[], object] = lambda: time.sleep(POLL_S)
) -> Job:
    """Wait until the bundle of a job is published, and so in use; gives the job as it ended.

    Args:
        client: of the service.
        job: as `begin` gave it.
        meanwhile: is called between two looks at the job.

    Raises:
        NotPublished: it was rejected, has failed or was cancelled; the message says why.
        RuntimeError: the service no longer tells of the job.
    """
    console, said = Console(stderr=True), ""
    while job["state"] in UNFINISHED:
        meanwhile()
        status, job = client.get(f"/admin/jobs/{job['job_id']}")
        if status != 200:
            raise RuntimeError(f"the job was answered with {status}: {job}")
        if job["message"] and job["message"] != said:
            said = job["message"]
            console.print(f"retraining, {job['stage']}: {said}", highlight=False, soft_wrap=True)
    if job["state"] != "published":
        raise NotPublished(f"{job['state']}: {job['message']} {job['metrics']}")
    return job


def figures_of(job: Job) -> dict[str, float]:
    """What a published job tells: probes held out, subnets and those of them trained, seconds."""
    metrics = job["metrics"]
    began, ended = (datetime.fromisoformat(job[at]) for at in ("started_at", "finished_at"))
    return {
        # 0: it was published without a comparison, for nobody has pictures enough to hold out.
        "held_out_probes": metrics["comparison"]["probes"],
        "subnets": metrics["subnets"]["total"],
        "subnets_trained": len(metrics["subnets"]["trained"]),
        "retraining_s": (ended - began).total_seconds(),
    }
