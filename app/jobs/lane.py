"""An RQ worker in a thread, for one queue: what it takes runs on the process's event loop."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any
from uuid import UUID

from redis import Redis, RedisError
from rq import Queue, SimpleWorker
from rq.job import JobStatus
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty
from rq.worker.base import StopRequested

from app.jobs.queue import ALIVE_S, CONNECT_TIMEOUT_S, job_id_of
from app.logs import describe_error, get_logger

LOOK_EVERY_S = 2
"""How long a wait for the next entry lasts, and so the worker's end at most."""
BEAT_EVERY_S = 5
RETRY_S = 1.0
"""After Redis has failed."""

log = get_logger()


class Lane:
    """Takes one entry after the other from a queue while it is open."""

    def __init__(self, queue: str, url: str, begin: Callable[[UUID], "Future[None]"]) -> None:
        """Prepare a lane.

        Args:
            queue: its name.
            url: of Redis.
            begin: called in the lane's thread; runs a job, or finds that it need not be run.
        """
        self._queue = queue
        self._url = url
        self._begin = begin
        self._stopping = Event()
        self._thread = Thread(target=self._serve, name=queue, daemon=True)

    def open(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more; what is under way goes on."""
        self._stopping.set()

    def join(self) -> None:
        """Wait for the end, once what is under way has ended."""
        self._thread.join()

    def _serve(self) -> None:
        # It says all it does, and each retry; what counts is logged here and by the jobs.
        logging.getLogger("rq.worker").setLevel(logging.CRITICAL)
        failing = False
        while not self._stopping.is_set():
            try:
                with Redis.from_url(self._url, socket_connect_timeout=CONNECT_TIMEOUT_S) as redis:
                    _Worker(self._queue, redis, self._begin, self._stopping).work(
                        logging_level=None
                    )
            except Exception as error:  # noqa: BLE001  (nobody else would go on in its place)
                if not failing:  # once an outage
                    log.warning("queue_away", queue=self._queue, **describe_error(error))
                failing = True
            else:
                failing = False
            self._stopping.wait(RETRY_S)


class _Worker(SimpleWorker):  # type: ignore[misc]
    """RQ's worker, so that its tools show it; what an entry names is not run, but our job."""

    death_penalty_class = TimerDeathPenalty  # signals are for the main thread
    max_connection_wait_time = RETRY_S
    dequeue_timeout = LOOK_EVERY_S

    def __init__(
        self, queue: str, redis: Redis, begin: Callable[[UUID], "Future[None]"], stopping: Event
    ) -> None:
        self._begin = begin
        self._stopping = stopping
        entries = Queue(queue, connection=redis, serializer=JSONSerializer)
        super().__init__([entries], connection=redis, serializer=JSONSerializer, worker_ttl=ALIVE_S)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Say that it is alive; asked for before each wait, so this is where it can end, too."""
        if self._stopping.is_set() and pipeline is None:
            raise StopRequested
        super().heartbeat(timeout, pipeline=pipeline)

    def perform_job(self, job: Any, queue: Any, execution: Any) -> bool:
        """Run our job to its end."""
        self.prepare_job_execution(job, remove_from_intermediate_queue=True)
        job.started_at = datetime.now(UTC)
        with suppress(ValueError):  # an entry that is none of ours
            self._run(job_id_of(job.id), job, execution)
        job.ended_at = datetime.now(UTC)
        job._status = JobStatus.FINISHED
        self.handle_job_success(
            job=job,
            queue=queue,
            started_job_registry=queue.started_job_registry,
            execution=execution,
        )
        return True

    def _run(self, job_id: UUID, entry: Any, execution: Any) -> None:
        running = self._begin(job_id)
        while True:
            try:
                return running.result(BEAT_EVERY_S)
            except TimeoutError:
                if running.done():
                    raise
            with suppress(RedisError):  # the job goes on
                self.maintain_heartbeats(entry, execution)

    def get_heartbeat_ttl(self, *_: Any, **__: Any) -> int:
        """Seconds after which a silent worker's entry is nobody's."""
        return ALIVE_S

    def clean_registries(self) -> None:
        """Left to `app.jobs.queue`: RQ's own way would run what entries of dead workers name."""

    def procline(self, message: str) -> None:
        """Leave the process's name alone; it does more than this."""

    def _install_signal_handlers(self) -> None:
        """Signals are the main thread's."""
