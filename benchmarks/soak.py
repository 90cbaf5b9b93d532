"""Does the service stay as it is, however long it works?

    make soak

Eight clients identify and, every tenth time, enrol somebody and delete him again. The memory of
the service's process, its descriptors and threads are looked at all the time: the medians of the
last tenth are compared with those of the first tenth after a warm-up of a tenth. Growth, or a
single error, is an exit status.
"""

import argparse
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.progress import Progress, TaskID

from benchmarks.footprint import missed, sampled
from benchmarks.measures import in_percentiles
from benchmarks.report import write_results
from benchmarks.service import Client, Service, running_service

DATA = Path(__file__).parents[1] / "tests" / "data"
GALLERY = ("obama", "biden", "astronaut")
PROBES = [(DATA / f"{name}.jpg").read_bytes() for name in (*GALLERY, "obama2", "obama3", "cat")]
GROWTH = 0.05
MORE_DESCRIPTORS = 5
MORE_THREADS = 2
"""What may come and go at any moment."""
SETTINGS = {"COHORT_RATE_LIMIT": "1000000/minute"}

Waits = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--identifications", type=int, default=20_000)
    parser.add_argument("--cycles", type=int, default=2_000, help="enrolments with a deletion each")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--sample-s", type=float, default=1.0, help="between two looks")
    arguments = parser.parse_args()
    figures = measure(
        arguments.identifications, arguments.cycles, arguments.clients, arguments.sample_s
    )
    write_results("soak", figures)
    sys.exit(failures(figures))


def measure(identifications: int, cycles: int, clients: int, sample_s: float) -> dict[str, float]:
    """Load a service of its own."""
    with running_service(sys.executable, SETTINGS) as service:
        with closing(service.client()) as client:
            for name in GALLERY:
                client.post("/enroll", [("images", (DATA / f"{name}.jpg").read_bytes())])
        load = Load(service, identifications, cycles)
        start = time.monotonic()
        with sampled(service.pid, every_s=sample_s) as footprints:
            load.run(clients)
        seconds = time.monotonic() - start
    figures = {
        "identifications": float(len(load.waits["identify"])),
        "cycles": float(len(load.waits["delete"])),
        "errors": float(load.errors),
        "seconds": seconds,
        "identifications_per_s": len(load.waits["identify"]) / seconds,
    }
    for what, waits in load.waits.items():
        figures |= in_percentiles(what, [wait * 1e3 for wait in waits])
    return figures | footprints.figures()


class Load:
    """What all clients have to do together."""

    def __init__(self, service: Service, identifications: int, cycles: int) -> None:
        self._service = service
        self._cycles = cycles
        self._every = identifications // cycles
        self._lock = threading.Lock()
        self._begun = 0
        self.waits: Waits = defaultdict(list)
        self.errors = 0

    def run(self, clients: int) -> None:
        """Do it, from so many connections at once."""
        with Progress() as progress, ThreadPoolExecutor(clients) as pool:
            task = progress.add_task("enrolled and deleted", total=self._cycles)
            for done in [pool.submit(self._work, progress, task) for _ in range(clients)]:
                done.result()

    def _work(self, progress: Progress, task: TaskID) -> None:
        with closing(self._service.client()) as client:
            while (number := self._next()) is not None:
                for step in range(self._every):
                    probe = PROBES[(number + step) % len(PROBES)]
                    self._time("identify", 200, client.post, "/identify", [("image", probe)])
                enrolled = self._time(
                    *("enroll", 201, client.post, "/enroll"),
                    [("images", PROBES[number % len(GALLERY)])],
                    {"allow_conflict": "true"},
                )
                if enrolled is not None:
                    path = f"/subjects/{enrolled['subject']['subject_id']}"
                    self._time("delete", 204, _delete, client, path)
                progress.advance(task)

    def _next(self) -> int | None:
        with self._lock:
            self._begun += 1
            return self._begun if self._begun <= self._cycles else None

    def _time(
        self,
        what: str,
        expected: int,
        ask: Callable[..., tuple[int, dict[str, Any]]],
        *arguments: object,
    ) -> dict[str, Any] | None:
        start = time.perf_counter()
        status, body = ask(*arguments)
        with self._lock:
            self.waits[what].append(time.perf_counter() - start)
            if status != expected:
                self.errors += 1
        return body if status == expected else None


def _delete(client: Client, path: str) -> tuple[int, dict[str, Any]]:
    answer = client.exchange("DELETE", path)
    return answer.status, answer.body


def failures(figures: dict[str, float]) -> str | None:
    """Name the figures that are not as they must be; None: all are."""
    more = figures["descriptors_began"] + MORE_DESCRIPTORS
    most_threads = figures["threads_began"] + MORE_THREADS
    failed = missed(
        figures,
        {
            "errors": lambda count: count == 0,
            "memory_growth": lambda growth: growth <= GROWTH,
            "descriptors_ended": lambda count: count <= more,
            "threads_ended": lambda count: count <= most_threads,
        },
    )
    return f"failed: {', '.join(failed)}" if failed else None


if __name__ == "__main__":
    main()
