"""`cohort worker` as a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg

from app.jobs.repository import lock_key
from app.settings import Settings

ROOT = Path(__file__).parents[3]
START_TIMEOUT_S = 60.0


@dataclass
class Worker:
    """A running worker."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_until_it_says(self, word: str, *, timeout_s: float = START_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while word not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


StartWorker = Callable[..., Worker]


@contextmanager
def workers(folder: Path) -> Iterator[StartWorker]:
    """Start workers with some settings; those that are left in the end are killed."""
    started: list[Worker] = []

    def start(settings: Settings, **environment: str) -> Worker:
        assert settings.database_url is not None
        assert settings.redis_url is not None
        log = folder / f"worker-{len(started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "worker"],
                cwd=ROOT,
                env=os.environ
                | {
                    "COHORT_DATA_DIR": str(settings.data_dir),
                    "COHORT_DATABASE_URL": settings.database_url.get_secret_value(),
                    "COHORT_REDIS_URL": settings.redis_url.get_secret_value(),
                    "COHORT_INFERENCE_WORKERS": "1",
                }
                | environment,
                stdout=subprocess.DEVNULL,
                stderr=output,
            )
        worker = Worker(process, log)
        started.append(worker)
        worker.wait_until_it_says('"queues"')
        return worker

    try:
        yield start
    finally:
        for worker in started:
            if worker.process.poll() is None:
                worker.send(signal.SIGCONT)
                worker.end(signal.SIGKILL)


def cut_lock(address: str, job_id: str) -> None:
    """End the database connection that holds a job's lock, as an outage might."""
    with psycopg.connect(address, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND granted AND ((classid::bigint << 32) | objid::bigint) = %s",
            [lock_key(UUID(job_id))],
        ).fetchall()
    assert ended == [(True,)]
