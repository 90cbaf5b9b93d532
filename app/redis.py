"""The connection to Redis: a help, never the truth. Whatever needs it works without it, too."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from app.settings import Settings

CONNECT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 2.0


@asynccontextmanager
async def opened_redis(settings: Settings) -> AsyncIterator[Redis | None]:
    """Open the Redis that the settings name, if they name one.

    Connections are made when they are first needed: a Redis that is away fails nobody's start.
    """
    if settings.redis_url is None:
        yield None
        return
    client = Redis.from_url(
        settings.redis_url.get_secret_value(),
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=ANSWER_TIMEOUT_S,
    )
    try:
        yield client
    finally:
        await client.aclose()
