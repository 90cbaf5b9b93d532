"""The queues in Redis, by RQ: each entry is a hint to workers that a job is there to be begun.

The jobs themselves are rows in Postgres. An entry that is lost is put in again, and one too many is
no harm. Nothing of an entry is ever run but its id, so that who can write to Redis can at most
hurry a job that is waiting.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq.exceptions import NoSuchJobError
from rq.job import Job as Entry
from rq.serializers import JSONSerializer

from app.jobs.claim import RETRAINING
from app.settings import Settings
from app.tables import JobRow

CONNECT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 2.0
ALIVE_S = 15
"""A worker that was silent for so long is taken for dead: it says something each few seconds."""
BATCHES = "cohort-batches"
RETRAININGS = "cohort-retrainings"
NEVER = -1
"""A time limit in RQ."""

NO_WORKER: Mapping[bool, str] = {
    True: "No worker is there for it: start `cohort worker` where there is torch "
    "(COHORT_TRAINING_PYTHON), on the service's data directory (COHORT_DATA_DIR) or with the "
    "service's bundle store (COHORT_BUNDLE_STORE).",
    False: "No worker is there for it: start `cohort worker`.",
}
"""By whether it is a retraining."""
WAITS = "Waits for a worker."
WAITS_AGAIN = "The process that ran it died; it waits for a worker to begin anew."
REDIS_AWAY = "Redis can't be reached; it waits for that, and for a worker."


def queue_name(kind: str, place: str) -> str:
    """Name the queue that a job belongs into.

    Args:
        kind: of the job.
        place: where its bundle must be published (`app.jobs.place`).
    """
    return f"{RETRAININGS}-{place}" if kind == RETRAINING else BATCHES


class JobQueue:
    """Puts jobs before the workers, and knows which workers there are."""

    def __init__(self, url: str) -> None:
        """Connections are made when they are first needed."""
        self._redis = Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=ANSWER_TIMEOUT_S,
            # Requests wait for it, and the next look at the jobs is a retry.
            retry=Retry(NoBackoff(), 0),
        )

    @classmethod
    def of(cls, settings: Settings) -> "JobQueue | None":
        """Open the queue of the settings; None where they name no Redis."""
        return None if settings.redis_url is None else cls(settings.redis_url.get_secret_value())

    async def put(self, rows: Sequence[JobRow]) -> dict[UUID, str]:
        """Have jobs in their queues that are not there already.

        Returns:
            What each of them waits for, for people.

        Raises:
            redis.RedisError: Redis can't be reached.
        """
        return await asyncio.to_thread(self._put, rows)

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._redis.close)

    def _put(self, rows: Sequence[JobRow]) -> dict[UUID, str]:
        by_queue: dict[str, list[JobRow]] = defaultdict(list)
        for row in rows:
            by_queue[queue_name(row.kind, row.options.get("place", ""))].append(row)
        told: dict[UUID, str] = {}
        for name, jobs in by_queue.items():
            queue = Queue(name, connection=self._redis, serializer=JSONSerializer)
            _forget_dead(queue)
            waiting = set(queue.get_job_ids())
            worked_on = _has_worker(queue)
            for row in jobs:
                # Another name at each attempt: RQ may still hold what it knows of the one before.
                entry_id = f"{row.id}-{row.attempts}"
                if entry_id not in waiting:
                    queue.enqueue_call(
                        "cohort.job",  # shown, never called
                        job_id=entry_id,
                        description=row.kind,
                        timeout=NEVER,
                        result_ttl=0,
                    )
                told[row.id] = _message(row, worked_on)
        return told


def job_id_of(entry_id: str) -> UUID:
    """Read which job an entry stands for.

    Raises:
        ValueError: it is none of ours.
    """
    return UUID(entry_id.rpartition("-")[0])


def _message(row: JobRow, worked_on: bool) -> str:
    if not worked_on:
        return NO_WORKER[row.kind == RETRAINING]
    return WAITS_AGAIN if row.attempts else WAITS


def _has_worker(queue: Queue) -> bool:
    earliest = datetime.now(UTC) - timedelta(seconds=ALIVE_S)
    return any(
        worker.last_heartbeat is not None and worker.last_heartbeat > earliest
        for worker in SimpleWorker.all(queue=queue, serializer=JSONSerializer)
    )


def _forget_dead(queue: Queue) -> None:
    """Remove what dead workers were at; RQ's own way would run what the entries name."""
    started = queue.started_job_registry
    now = int(datetime.now(UTC).timestamp())
    for execution in queue.connection.zrangebyscore(started.key, 0, now):
        queue.connection.zrem(started.key, execution)
        with suppress(NoSuchJobError):
            entry_id = execution.decode().partition(":")[0]
            Entry.fetch(entry_id, connection=queue.connection, serializer=JSONSerializer).delete()
