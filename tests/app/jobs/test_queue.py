"""What waits in Redis, and what is said of it."""

from concurrent.futures import Future
from uuid import UUID, uuid4

import pytest
from redis import Redis, RedisError
from rq import Queue
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from app.jobs.lane import Lane
from app.jobs.queue import (
    BATCHES,
    NO_WORKER,
    RETRAININGS,
    WAITS,
    WAITS_AGAIN,
    JobQueue,
    job_id_of,
    queue_name,
)
from app.tables import JobRow
from tests.app.jobs.test_lane import job, wait_until


def entries(redis_url: str, name: str) -> list[str]:
    with Redis.from_url(redis_url) as redis:
        found: list[str] = Queue(name, connection=redis).get_job_ids()
    return found


async def test_jobs_are_put_in_once_however_often_it_is_asked(redis_url: str) -> None:
    queue = JobQueue(redis_url)
    batch = job()
    retraining = JobRow(id=uuid4(), kind="retraining", attempts=1, options={"place": "here"})
    for _ in range(3):
        told = await queue.put([batch, retraining])
    assert told == {batch.id: NO_WORKER[False], retraining.id: NO_WORKER[True]}
    assert entries(redis_url, BATCHES) == [f"{batch.id}-0"]
    assert entries(redis_url, f"{RETRAININGS}-here") == [f"{retraining.id}-1"]
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    await queue.put([batch, retraining])
    assert entries(redis_url, BATCHES) == [f"{batch.id}-0"]
    await queue.close()


async def test_what_jobs_wait_for(redis_url: str) -> None:
    queue = JobQueue(redis_url)
    running: Future[None] = Future()
    begun: list[UUID] = []

    def begin(job_id: UUID) -> "Future[None]":
        begun.append(job_id)
        return running

    lane = Lane(BATCHES, redis_url, begin)
    lane.open()
    at_work, waiting, again = job(), job(), job(attempts=1)
    await queue.put([at_work])
    wait_until(lambda: begun == [at_work.id])
    assert await queue.put([waiting, again]) == {waiting.id: WAITS, again.id: WAITS_AGAIN}
    lane.stop()
    running.set_result(None)
    lane.join()
    assert await queue.put([waiting]) == {waiting.id: NO_WORKER[False]}
    await queue.close()


async def test_what_a_dead_worker_was_at_is_forgotten(redis_url: str) -> None:
    queue = JobQueue(redis_url)
    row = job()
    await queue.put([row])
    with Redis.from_url(redis_url) as redis:
        # As a worker that was killed leaves it.
        redis.delete(f"rq:queue:{BATCHES}")
        registry = StartedJobRegistry(BATCHES, connection=redis, serializer=JSONSerializer)
        redis.zadd(registry.key, {f"{row.id}-0:{uuid4().hex}": 1})
        row.attempts = 1
        await queue.put([row])
        assert redis.zcard(registry.key) == 0
        assert list(redis.scan_iter("rq:job:*")) == [f"rq:job:{row.id}-1".encode()]
    await queue.close()


async def test_without_redis() -> None:
    queue = JobQueue("redis://127.0.0.1:1/0")
    with pytest.raises(RedisError):
        await queue.put([job()])
    await queue.close()


def test_names() -> None:
    job_id = uuid4()
    assert job_id_of(f"{job_id}-12") == job_id
    for other in ("", "x-1", str(job_id)):
        with pytest.raises(ValueError, match="UUID"):
            job_id_of(other)
    assert queue_name("retraining", "store") == f"{RETRAININGS}-store"
    assert queue_name("identify_batch", "store") == BATCHES
