"""How much of a rate is used up: counted in Redis for all replicas, here while there is none.

Redis away costs one call a tenth of a second, once; from then on it is counted here, and a
task of its own looks whether it is back.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import ceil
from time import time
from typing import TypeVar

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.logs import describe_error, get_logger

T = TypeVar("T")

PATIENCE_S = 0.1
"""For Redis, which answers in a fraction of a millisecond."""
LOOK_EVERY_S = 1.0
"""Whether Redis is back."""

log = get_logger()


@dataclass(frozen=True)
class Used:
    """How a rate stands."""

    allowed: bool
    remaining: int
    """Calls that are left."""
    reset_s: int
    """After so many seconds there are more."""


class Counts:
    """Counts calls by who makes them, in sliding windows."""

    def __init__(self, shared: RedisStorage | None) -> None:
        """Count in `shared`, or, where it is None or away, here."""
        self._here = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = None if shared is None else SlidingWindowCounterRateLimiter(shared)
        self._away: asyncio.Task[None] | None = None

    async def hit(self, rate: RateLimitItem, what: str, who: str) -> Used:
        """Count a call of `who` towards what it may do of `what`, unless it may no more."""

        async def count(limiter: SlidingWindowCounterRateLimiter) -> Used:
            allowed = await limiter.hit(rate, what, who)
            return await _used(limiter, rate, what, who, allowed=allowed)

        return await self._count(count)

    async def look(self, rate: RateLimitItem, what: str, who: str) -> Used:
        """Tell how `who` stands, without counting a call."""

        async def count(limiter: SlidingWindowCounterRateLimiter) -> Used:
            return await _used(limiter, rate, what, who, allowed=None)

        return await self._count(count)

    async def _count(self, count: Callable[[SlidingWindowCounterRateLimiter], Awaitable[T]]) -> T:
        if self._shared is not None and self._away is None:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    return await count(self._shared)
            except (RedisError, OSError, TimeoutError) as error:
                if self._away is None:
                    log.warning("rates_counted_here", **describe_error(error))
                    self._away = asyncio.create_task(self._wait_for_redis(self._shared))
        return await count(self._here)

    async def _wait_for_redis(self, shared: SlidingWindowCounterRateLimiter) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    if await shared.storage.check():
                        break
        self._away = None
        log.info("rates_shared_again")

    async def close(self) -> None:
        """Stop looking for Redis."""
        if self._away is not None:
            self._away.cancel()
            await asyncio.gather(self._away, return_exceptions=True)


async def _used(
    limiter: SlidingWindowCounterRateLimiter,
    rate: RateLimitItem,
    what: str,
    who: str,
    *,
    allowed: bool | None,
) -> Used:
    reset_at, remaining = await limiter.get_window_stats(rate, what, who)
    if allowed is None:
        allowed = remaining > 0
    # At least one second: whoever waits for none would be refused again.
    return Used(allowed, remaining if allowed else 0, max(1, ceil(reset_at - time())))


@asynccontextmanager
async def opened_counts(redis: Redis | None) -> AsyncIterator[Counts]:
    """Count in Redis, if there is one."""
    shared = None
    if redis is not None:
        shared = RedisStorage(
            "redis://",  # the pool knows where
            implementation="redispy",
            key_prefix="cohort:rates",
            connection_pool=redis.connection_pool,  # type: ignore[arg-type]
        )
    counts = Counts(shared)
    try:
        yield counts
    finally:
        await counts.close()
