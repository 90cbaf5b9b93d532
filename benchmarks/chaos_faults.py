"""What is done to a cluster: each fault begins with its block and is over with it."""

import os
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

import psutil
from redis.exceptions import RedisError

from benchmarks.chaos_bundle import activate_new_bundle
from benchmarks.chaos_jobs import finish_batch, submit_batch
from benchmarks.chaos_load import Load
from benchmarks.cluster import Cluster, Replica
from benchmarks.drawn_pictures import empty_picture

RESTART_S, POSTGRES_RESTART_S, FROZEN_S, LOST_NOTICES_S = 3.0, 10.0, 20.0, 8.0
KILL_EVERY_S = 0.02
SMALL_DISK = "64k"
"""Less than a bundle takes."""
FULL_DISK_S = 8.0
SMALLEST_FILE = 4096


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong."""

    name: str
    happen: Callable[[Cluster, Load], AbstractContextManager[None]]
    """The block is what happens meanwhile; after it, nothing is wrong any more."""
    hit: int | None = None
    """The replica that can't answer meanwhile."""
    database_away: bool = False


@contextmanager
def replica_killed(cluster: Cluster, _load: Load) -> Iterator[None]:
    replica = cluster.replicas[1]
    replica.process.kill()
    time.sleep(RESTART_S)
    yield
    replica.process.start()
    replica.wait_until_ready()


@contextmanager
def replica_frozen(cluster: Cluster, _load: Load) -> Iterator[None]:
    replica = cluster.replicas[2]
    replica.process.freeze()
    time.sleep(FROZEN_S)
    yield
    replica.process.thaw()


@contextmanager
def worker_killed(cluster: Cluster, load: Load) -> Iterator[None]:
    assert cluster.worker is not None
    batch = submit_batch(cluster)
    batch.wait_until_begun()
    cluster.worker.kill()
    time.sleep(RESTART_S)
    yield
    cluster.worker.start()
    finish_batch(batch, load)


@contextmanager
def redis_killed(cluster: Cluster, _load: Load) -> Iterator[None]:
    assert cluster.redis is not None
    cluster.redis.process.kill()
    time.sleep(RESTART_S)
    yield
    cluster.redis.start()


@contextmanager
def redis_flushed(cluster: Cluster, _load: Load) -> Iterator[None]:
    assert cluster.redis is not None
    with cluster.redis.client() as client:
        client.flushall()
    yield


@contextmanager
def notices_lost(cluster: Cluster, _load: Load) -> Iterator[None]:
    """Cut each subscription as soon as it is there: whatever is published is lost."""
    assert cluster.redis is not None
    over = threading.Event()

    def cut() -> None:
        with cluster.redis.client() as client:  # type: ignore[union-attr]
            while not over.wait(KILL_EVERY_S):
                with suppress(RedisError):
                    client.client_kill_filter(_type="pubsub")

    cutting = threading.Thread(target=cut)
    cutting.start()
    try:
        time.sleep(LOST_NOTICES_S)
        yield
    finally:
        over.set()
        cutting.join()


@contextmanager
def postgres_killed(cluster: Cluster, _load: Load) -> Iterator[None]:
    cluster.postgres.process.kill()
    time.sleep(POSTGRES_RESTART_S)
    yield
    cluster.postgres.start()


@contextmanager
def postgres_frozen(cluster: Cluster, _load: Load) -> Iterator[None]:
    cluster.postgres.process.freeze()
    time.sleep(POSTGRES_RESTART_S)
    yield
    cluster.postgres.process.thaw()


@contextmanager
def disk_full(cluster: Cluster, _load: Load) -> Iterator[None]:
    """Have no room for bundles at one replica while another one activates a new bundle."""
    first, starved = cluster.replicas[0], cluster.replicas[2]
    with _no_room(starved):
        bundle_id = activate_new_bundle(cluster, first)
        time.sleep(FULL_DISK_S)
        assert bundle_in_use(first) == bundle_id
        assert bundle_in_use(starved) != bundle_id, "there was room"
        yield
    deadline = time.monotonic() + 60
    while bundle_in_use(starved) != bundle_id and time.monotonic() < deadline:
        time.sleep(0.1)
    assert bundle_in_use(starved) == bundle_id, "the bundle was never taken up"


FAULTS = (
    Fault("replica_killed", replica_killed, hit=1),
    Fault("worker_killed", worker_killed),
    Fault("redis_killed", redis_killed),
    Fault("redis_flushed", redis_flushed),
    Fault("notices_lost", notices_lost),
    Fault("replica_frozen", replica_frozen, hit=2),
    Fault("disk_full", disk_full),
    Fault("postgres_killed", postgres_killed, database_away=True),
    Fault("postgres_frozen", postgres_frozen, database_away=True),
)


def bundle_in_use(replica: Replica) -> str | None:
    """Ask a replica which bundle it searches with."""
    client = replica.client()
    try:
        bundle: str | None = client.identify(empty_picture())["bundle"]
    finally:
        client.close()
    return bundle


@contextmanager
def _no_room(replica: Replica) -> Iterator[None]:
    """Have a replica's folder of bundles be full: a small disk of its own, where we may mount one;
    else a limit to the size of the files that the replica writes.
    """
    folder = replica.data_dir / "bundles"
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "none", str(folder)]
    if (
        os.geteuid() == 0
        and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    ):
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        return
    process = psutil.Process(replica.process.pid)
    before = process.rlimit(resource.RLIMIT_FSIZE)
    process.rlimit(resource.RLIMIT_FSIZE, (SMALLEST_FILE, before[1]))
    try:
        yield
    finally:
        process.rlimit(resource.RLIMIT_FSIZE, before)
