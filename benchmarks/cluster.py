"""A small production of one's own: replicas, a worker, a Postgres and a Redis on this machine.

    with running_cluster(replicas=3) as cluster:
        with closing(cluster.replicas[0].client()) as client:
            client.identify(picture)
        cluster.postgres.process.kill()
        cluster.postgres.start()

All of it listens on loopback ports that were free, and keeps its data in a folder that is removed;
each process is ended by its number, whatever happens.
"""

import base64
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ChildProcess, free_port
from benchmarks.servers import Postgres, Valkey
from benchmarks.service import Client

START_TIMEOUT_S = 120.0
"""Three services that start at once on two processors, each with its nets to warm."""


@dataclass(frozen=True)
class Replica:
    """A `cohort serve` process and how to reach it."""

    process: ChildProcess
    port: int
    data_dir: Path
    key: str
    """The admin key, which is the same everywhere."""

    def client(self, *, key: str | None = None, timeout_s: float = 120) -> Client:
        """Connect, with the admin key or another one."""
        return Client(self.port, key or self.key, timeout_s=timeout_s)

    def is_ready(self) -> bool:
        """Tell whether `/readyz` says so."""
        with closing(self.client(timeout_s=5)) as client:
            try:
                return client.exchange("GET", "/readyz").status == 200
            except (OSError, http.client.HTTPException):
                return False

    def wait_until_ready(self) -> None:
        """Wait for the end of its start.

        Raises:
            RuntimeError: it ended, or took too long; the message ends with its log.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.process.is_running and time.monotonic() < deadline:
            if self.is_ready():
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self.process.name} is not ready:\n{self.process.last_words()}")


@dataclass(frozen=True)
class Cluster:
    """What runs."""

    folder: Path
    postgres: Postgres
    redis: Valkey | None
    replicas: Sequence[Replica]
    worker: ChildProcess | None
    environment: Mapping[str, str]
    """Of the worker and, but for the data directory, of each replica."""

    def cohort(self, *arguments: str) -> str:
        """Run another command of Cohort on the same database; give back what it prints.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        done = subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def processes(self) -> list[ChildProcess]:
        """All of Cohort's own."""
        worker = [] if self.worker is None else [self.worker]
        return [each.process for each in self.replicas] + worker


@contextmanager
def running_cluster(
    *,
    replicas: int = 3,
    redis: bool = True,
    worker: bool = False,
    settings: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Iterator[Cluster]:
    """Start everything, wait until each replica is ready, and end everything after the block.

    Args:
        replicas: how many services.
        redis: whether they have one.
        worker: whether `cohort worker` runs beside them.
        settings: COHORT_* variables of all of them.
        python: the interpreter that they run with.

    Raises:
        RuntimeError: something did not start; the message holds what it printed.
    """
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="cohort-cluster-", ignore_cleanup_errors=True)
            )
        )
        postgres = Postgres(folder / "postgres")
        stack.callback(postgres.stop)
        postgres.start()
        valkey = Valkey(folder / "redis") if redis else None
        if valkey is not None:
            stack.callback(valkey.stop)
            valkey.start()
        environment = _environment(folder, postgres, valkey) | dict(settings or {})
        started: list[ChildProcess] = []
        stack.callback(_stop_all, started)
        try:
            # The first one migrates, and writes the admin key into its own folder.
            first = _start_replica(0, folder, python, environment, started)
            others = [
                _start_replica(number, folder, python, environment, started, first.key)
                for number in range(1, replicas)
            ]
            worker_process = None
            if worker:
                worker_process = _start_worker(folder, python, environment, started)
            for replica in others:
                replica.wait_until_ready()
            yield Cluster(folder, postgres, valkey, [first, *others], worker_process, environment)
        except Exception as error:
            # What they have to say of it goes with the folder.
            for process in started:
                error.add_note(f"The log of {process.name} ends:\n{process.last_words()}")
            raise


def _environment(folder: Path, postgres: Postgres, valkey: Valkey | None) -> dict[str, str]:
    # Nothing of an operator's own service may leak in, least of all its database.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("COHORT_", "PG"))}
    of_redis = {} if valkey is None else {"COHORT_REDIS_URL": valkey.url}
    return {
        **inherited,
        **of_redis,
        "COHORT_DATABASE_URL": postgres.url,
        "COHORT_BUNDLE_STORE": (folder / "store").as_uri(),
        "COHORT_ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode(),
        "COHORT_DATA_DIR": str(folder / "worker"),
    }


def _start_replica(
    number: int,
    folder: Path,
    python: str,
    environment: Mapping[str, str],
    started: list[ChildProcess],
    key: str | None = None,
) -> Replica:
    """Start a service; the first one, without a key, is waited for."""
    data_dir, port = folder / f"replica-{number}", free_port()
    process = ChildProcess(
        f"replica {number}",
        [python, "-m", "app.cli", "serve", "--port", str(port)],
        environment={**environment, "COHORT_DATA_DIR": str(data_dir)},
        log=folder / f"replica-{number}.log",
    )
    started.append(process)
    process.start()
    if key is None:
        Replica(process, port, data_dir, "").wait_until_ready()
        key = (data_dir / "admin.key").read_text().strip()
    return Replica(process, port, data_dir, key)


def _start_worker(
    folder: Path, python: str, environment: Mapping[str, str], started: list[ChildProcess]
) -> ChildProcess:
    process = ChildProcess(
        "worker",
        [python, "-m", "app.cli", "worker"],
        environment=environment,
        log=folder / "worker.log",
    )
    started.append(process)
    process.start()
    return process


def _stop_all(processes: Sequence[ChildProcess]) -> None:
    try:
        for process in processes:
            process.ask_to_stop()
        for process in processes:
            process.wait()
    finally:  # also where somebody was too impatient to wait
        for process in processes:
            process.kill()
