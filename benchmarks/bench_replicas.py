"""Three replicas on one Postgres and one Redis: how soon, and how surely, each sees the others.

    make bench-replicas

A writer enrols, and now and then deletes, at each replica in turn, while readers identify at all of
them, at a pace that leaves the processors room: what is to be measured is the propagation, not the
queue. Every other write is followed by asking the two other replicas, without naming a revision and
without a pause, until their answers have seen it. After the rest they are asked at once, naming
the revision: no answer may be older. In the end each replica must find all who were acknowledged,
and nobody else. Then as many clients as possible identify at one replica, and at all.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.cluster import Replica, running_cluster
from benchmarks.drawn_pictures import drawn_pictures, empty_picture
from benchmarks.ledger import Ledger, differences
from benchmarks.measures import in_percentiles
from benchmarks.report import write_results
from benchmarks.service import Answer, Client

REPLICAS = 3
SECONDS, THROUGHPUT_SECONDS = 120.0, 15.0
WRITES_PER_S, READS_PER_S = 2.0, 3.0
"""In all, and at each replica."""
DELETE_EVERY = 5
CLIENTS = 9
LARGEST_P99_MS = 250.0
GIVE_UP_S = 10.0
SEED = 0
SETTINGS = {"COHORT_LOG_LEVEL": "WARNING", "COHORT_RATE_LIMIT": "1000000/second"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of writing and reading")
    arguments = parser.parse_args()
    figures = measured(arguments.seconds)
    write_results("replicas", figures)
    if missed := [name for name, holds in demands(figures).items() if not holds]:
        raise SystemExit(f"missed: {'; '.join(missed)}")


def demands(figures: Mapping[str, float]) -> dict[str, bool]:
    """What must be true."""
    return {
        "no request failed": figures["failed"] == 0,
        "nothing acknowledged is lost": figures["lost"] == 0,
        "nobody is found who should not be": figures["phantoms"] == 0,
        "answers were asked for by a revision": figures["named"] > 0,
        "no answer is older than the revision that was named": figures["stale"] == 0,
        "no replica is too far behind to answer": figures["behind_503"] == 0,
        f"p99 of the propagation at most {LARGEST_P99_MS:.0f} ms": (
            figures["propagation_p99_ms"] <= LARGEST_P99_MS
        ),
    }


def measured(seconds: float) -> dict[str, float]:
    """Run everything; gives the figures."""
    with running_cluster(replicas=REPLICAS, settings=SETTINGS) as cluster:
        writer = Writer(cluster.replicas)
        with reading(cluster.replicas) as readers:
            writer.write_for(seconds)
        time.sleep(1)
        found = [differences(replica, writer.ledger) for replica in cluster.replicas]
        alone = throughput(cluster.replicas[:1], seconds)
        together = throughput(cluster.replicas, seconds)
    return {
        "writes": writer.writes,
        "reads_beside": sum(reader.answered for reader in readers),
        "failed": writer.failed + sum(reader.failed for reader in readers),
        "lost": len({each for one in found for each in one.lost}),
        "phantoms": len({each for one in found for each in one.phantoms}),
        "propagations": len(writer.propagation_ms),
        **in_percentiles("propagation", writer.propagation_ms),
        "propagation_max_ms": max(writer.propagation_ms),
        **in_percentiles("probe", writer.probe_ms),
        "named": len(writer.named_ms),
        "stale": writer.stale,
        "behind_503": writer.behind,
        **in_percentiles("named", writer.named_ms),
        "identify_per_s_one_replica": alone,
        f"identify_per_s_{REPLICAS}_replicas": together,
    }


class Writer:
    """Writes at each replica in turn, and looks what the others know of it."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.ledger = Ledger()
        self.writes = self.failed = self.stale = self.behind = 0
        self.propagation_ms: list[float] = []
        self.probe_ms: list[float] = []
        self.named_ms: list[float] = []
        self._clients = [replica.client() for replica in replicas]
        self._pictures = drawn_pictures(seed=SEED)
        self._nothing = empty_picture()

    def write_for(self, seconds: float) -> None:
        """Write, at a steady pace, for so long."""
        begun = time.perf_counter()
        with ExitStack() as stack:
            for client in self._clients:
                stack.callback(client.close)
            pool = stack.enter_context(ThreadPoolExecutor(len(self._clients)))
            for number in range(int(seconds * WRITES_PER_S)):
                time.sleep(max(0, begun + number / WRITES_PER_S - time.perf_counter()))
                self._write(number, pool)

    def _write(self, number: int, pool: ThreadPoolExecutor) -> None:
        writing = self._clients[number % len(self._clients)]
        others = [each for each in self._clients if each is not writing]
        if number % DELETE_EVERY == DELETE_EVERY - 1:
            subject_id, picture = next(iter(self.ledger.enrolled.items()))
            answer = writing.exchange("DELETE", f"/subjects/{subject_id}")
            expected = None
        else:
            picture = next(self._pictures)
            fields = {"allow_conflict": "true", "external_id": f"person {number}"}
            answer = writing.send_form("/enroll", [("images", picture)], fields)
            if answer.status == 422:
                return  # nothing to be seen in this one
            expected = answer.body.get("subject", {}).get("subject_id")
        acknowledged = time.perf_counter()
        if answer.status not in (201, 204):
            self.failed += 1
            return
        self.writes += 1
        if expected is None:
            self.ledger.deleted[subject_id] = self.ledger.enrolled.pop(subject_id)
        else:
            self.ledger.enrolled[expected] = picture
        revision = int(answer.headers["cohort-revision"])
        if (number // len(self._clients)) % 2:
            list(pool.map(lambda other: self._name(other, picture, revision, expected), others))
        else:
            list(pool.map(lambda other: self._wait_for(other, revision, acknowledged), others))

    def _wait_for(self, other: Client, revision: int, acknowledged: float) -> None:
        """Ask a replica again and again, until its answer has seen a revision."""
        asked = acknowledged
        while (now := time.perf_counter()) - acknowledged < GIVE_UP_S:
            seen = other.identify(self._nothing)["revision"]
            answered = time.perf_counter()
            self.probe_ms.append((answered - now) * 1e3)
            if seen >= revision:
                self.propagation_ms.append((answered - acknowledged) * 1e3)
                return
            asked = now
        self.propagation_ms.append((asked - acknowledged) * 1e3)
        self.failed += 1

    def _name(self, other: Client, picture: bytes, revision: int, expected: str | None) -> None:
        """Ask a replica for a revision by its name; None: the picture's subject must be gone."""
        begun = time.perf_counter()
        answer = other.send_form(
            "/identify", [("image", picture)], {"limit": "1"}, min_revision(revision)
        )
        self.named_ms.append((time.perf_counter() - begun) * 1e3)
        if answer.status == 503:
            self.behind += 1
        elif answer.status != 200:
            self.failed += 1
        elif is_stale(answer, revision, expected, self.ledger):
            self.stale += 1


def min_revision(revision: int) -> dict[str, str]:
    return {"Cohort-Min-Revision": str(revision)}


def is_stale(answer: Answer, revision: int, expected: str | None, ledger: Ledger) -> bool:
    """Tell whether an answer is older than the revision that was named."""
    if answer.body["revision"] < revision:
        return True
    found = {
        candidate["subject_id"]
        for face in answer.body["faces"]
        for candidate in face["candidates"][:1]
    }
    return bool(found & ledger.deleted.keys()) if expected is None else expected not in found


@dataclass
class Reader:
    """Identifies at one replica at a steady pace, and counts."""

    answered: int = 0
    failed: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def read(self, replica: Replica) -> None:
        begun = time.perf_counter()
        with closing(replica.client()) as client:
            for number, picture in enumerate(drawn_pictures(seed=SEED + replica.port)):
                due = begun + number / READS_PER_S
                if self.stopped.wait(max(0, due - time.perf_counter())):
                    return
                status, _ = client.post("/identify", [("image", picture)])
                self.answered += status == 200
                self.failed += status != 200


@contextmanager
def reading(replicas: Sequence[Replica]) -> Iterator[list[Reader]]:
    """Have a reader at each replica while the block runs."""
    readers = [Reader() for _ in replicas]
    with ThreadPoolExecutor(len(replicas)) as pool:
        running = [
            pool.submit(reader.read, replica)
            for reader, replica in zip(readers, replicas, strict=True)
        ]
        try:
            yield readers
        finally:
            for reader in readers:
                reader.stopped.set()
    for each in running:
        each.result()


def throughput(replicas: Sequence[Replica], seconds: float) -> float:
    """Have clients identify at some replicas without a pause; gives the answers a second."""
    seconds = min(seconds, THROUGHPUT_SECONDS)
    with tempfile.TemporaryDirectory(prefix="cohort-bench-") as folder:
        pictures = [Path(folder) / f"{number}.jpg" for number in range(16)]
        for path, picture in zip(pictures, drawn_pictures(seed=SEED), strict=False):
            path.write_bytes(picture)
        loads = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "benchmarks.load", "--key", replica.key),
                    *("--port", str(replica.port), "--clients", str(CLIENTS // len(replicas))),
                    *("--seconds", str(seconds), *map(str, pictures)),
                ],
                stdout=subprocess.PIPE,
            )
            for replica in replicas
        ]
        told = [json.loads(load.communicate()[0]) for load in loads]
    return float(np.sum([each["requests"] / each["wall_s"] for each in told]))


if __name__ == "__main__":
    main()
