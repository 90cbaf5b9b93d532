"""A batch of enrolments for the worker, followed to its end."""

import base64
import itertools
import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from benchmarks.chaos_load import Load
from benchmarks.cluster import Cluster, Replica
from benchmarks.drawn_pictures import drawn_pictures

PEOPLE = 40
TIMEOUT_S = 120.0
FINAL_STATES = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Batch:
    """A batch that was accepted."""

    replica: Replica
    job_id: str
    pictures: Mapping[str, bytes]
    """By external id."""

    def wait_until_begun(self) -> None:
        """Wait until some of its people are enrolled, and not all."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            if self.show()["done"] > 1:
                return
            time.sleep(0.02)
        raise RuntimeError("no worker has taken the batch")

    def wait_for_its_end(self) -> dict[str, Any]:
        """Wait until it is over; gives what there is to say."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            if (shown := self.show())["state"] in FINAL_STATES:
                return shown
            time.sleep(0.1)
        raise RuntimeError("the batch was forgotten")

    def show(self) -> dict[str, Any]:
        with closing(self.replica.client()) as client:
            status, shown = client.get(f"/enroll/batch/{self.job_id}")
        assert status == 200, shown
        return shown

    def items(self) -> list[dict[str, Any]]:
        """What became of each person."""
        with closing(self.replica.client()) as client:
            status, page = client.get(f"/enroll/batch/{self.job_id}/items?limit=1000")
        assert status == 200, page
        items: list[dict[str, Any]] = page["items"]
        return items


def submit_batch(cluster: Cluster) -> Batch:
    """Have some people enrolled by the worker."""
    replica = cluster.replicas[0]
    people = itertools.islice(drawn_pictures(seed=50), PEOPLE)
    pictures = {f"of a batch {number}": picture for number, picture in enumerate(people)}
    lines = [
        json.dumps({"external_id": name, "images": [base64.b64encode(picture).decode()]})
        for name, picture in pictures.items()
    ]
    path = "/enroll/batch?allow_conflict=true"
    with closing(replica.client()) as client:
        answer = client.exchange("POST", path, "\n".join(lines).encode(), "application/x-ndjson")
    assert answer.status == 202, answer
    return Batch(replica, answer.body["job_id"], pictures)


def finish_batch(batch: Batch, load: Load) -> None:
    """See the batch to its end, and hold the service to what its report says.

    Raises:
        RuntimeError: it is never over, or a person is missing in the report.
    """
    shown = batch.wait_for_its_end()
    items = batch.items()
    if shown["state"] != "done" or {each["id"] for each in items} != set(batch.pictures):
        raise RuntimeError(f"the batch ended as {shown['state']} with {len(items)} items")
    for item in items:
        if item["subject_id"] is not None:
            load.ledger.enrolled[item["subject_id"]] = batch.pictures[item["id"]]
