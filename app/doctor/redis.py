"""Redis, and the workers that tell of themselves there."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic
from uuid import uuid4

from redis import Redis, RedisError
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from app.doctor.clock import compare_clocks
from app.doctor.findings import Finding, failed, ok, warning
from app.jobs.queue import ALIVE_S
from app.settings import Settings

TIMEOUT_S = 3.0


def look_at_redis(settings: Settings) -> Iterator[Finding]:
    """Reachable, carrying messages, and with workers?"""
    if settings.redis_url is None:
        yield ok("redis", "none is set: one machine without workers")
        return
    redis = Redis.from_url(
        settings.redis_url.get_secret_value(),
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
    )
    try:
        with redis:
            yield from _look_at(redis)
    except (RedisError, OSError) as error:
        # Without its words, which may hold the address with its password.
        yield failed(
            "redis",
            f"can't be used ({type(error).__name__})",
            "Check COHORT_REDIS_URL, and that Redis runs. Nothing is lost: replicas follow the "
            "database a little later, and jobs wait.",
        )


def _look_at(redis: "Redis") -> Iterator[Finding]:
    server = redis.info("server")
    yield ok("redis", f"{server.get('server_name', 'redis')} {server['redis_version']}")
    seconds = _round_trip_s(redis)
    if seconds is None:
        yield failed(
            "redis",
            "a published message did not come back",
            "Is there a proxy in between that knows no publish and subscribe? Ask Redis itself.",
        )
    else:
        yield ok("redis", f"a published message came back in {seconds * 1e3:.1f} ms")
    yield compare_clocks("Redis", lambda: _clock(redis))
    yield _look_at_workers(redis)


def _round_trip_s(redis: "Redis") -> float | None:
    """Publish a word on a channel that nobody else knows, and wait for it."""
    channel = f"cohort-doctor-{uuid4().hex}"
    with redis.pubsub(ignore_subscribe_messages=True) as listening:  # type: ignore[no-untyped-call]
        listening.subscribe(channel)
        listening.get_message(timeout=TIMEOUT_S)  # that it listens now
        start = monotonic()
        redis.publish(channel, "")
        while (left := start + TIMEOUT_S - monotonic()) > 0:
            if listening.get_message(timeout=left) is not None:
                return monotonic() - start
    return None


def _clock(redis: "Redis") -> float:
    seconds, microseconds = redis.time()
    return float(seconds) + float(microseconds) / 1e6


def _look_at_workers(redis: "Redis") -> Finding:
    earliest = datetime.now(UTC) - timedelta(seconds=ALIVE_S)
    queues = [
        name
        for worker in SimpleWorker.all(connection=redis, serializer=JSONSerializer)
        if worker.last_heartbeat is not None and worker.last_heartbeat > earliest
        for name in worker.queue_names()
    ]
    if not queues:
        return warning(
            "workers",
            "none is there: jobs wait",
            "Start `cohort worker` with the service's settings.",
        )
    return ok("workers", f"there are some for {', '.join(sorted(set(queues)))}")
