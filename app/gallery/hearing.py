"""Hears through Redis of what other replicas have committed, and has the galleries follow at once.

The connection may break at any time, with notices in it: whenever it is there again, everything is
looked at. Between, and without Redis, app/gallery/follower.py looks each second.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from app.announcements import Announcement
from app.gallery.notices import CHANNEL, RETRY_S, read_notice
from app.gallery.service import Galleries
from app.logs import describe_error, get_logger

SILENCE_S = 5.0
"""After so long without a word, Redis is asked whether it is there; it has as long to answer."""

log = get_logger()


@asynccontextmanager
async def hearing(galleries: Galleries, redis: Redis | None) -> AsyncIterator[None]:
    """Follow notices while the block runs, if there is a Redis to bring them."""
    if redis is None:
        yield
        return
    hearer = _Hearer(galleries, redis)
    task = asyncio.create_task(hearer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await hearer.close()


class _Hearer:
    def __init__(self, galleries: Galleries, redis: Redis) -> None:
        self._galleries = galleries
        self._redis = redis
        self._wanted: dict[UUID, set[int | None]] = {}
        """What there are notices of that nobody follows yet."""
        self._followers: dict[UUID, asyncio.Task[None]] = {}
        self._deaf = False

    async def run(self) -> None:
        """Listen, and again after each outage."""
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(CHANNEL)
                    await self._listen(pubsub)
            except (RedisError, OSError) as error:
                if not self._deaf:  # once an outage
                    log.error("changes_not_heard", **describe_error(error))
                self._deaf = True
            await asyncio.sleep(RETRY_S)

    async def _listen(self, pubsub: PubSub) -> None:
        """Take what comes.

        Raises:
            RedisError, OSError: the connection is broken.
        """
        asked = False
        while True:
            message = await pubsub.get_message(timeout=SILENCE_S)
            if message is None:
                if asked:
                    raise TimeoutError("Redis is silent")
                await pubsub.ping()
            asked = message is None
            if message is None:
                continue
            if message["type"] == "subscribe":
                await self._look_at_everything()
            elif message["type"] == "message":
                with suppress(ValueError):  # not one of ours
                    self._heed(read_notice(message["data"]))

    async def _look_at_everything(self) -> None:
        """Find what was said before we heard; the client may have connected anew by itself."""
        if self._deaf:
            log.info("changes_heard_again")
        self._deaf = False
        await _if_possible(self._galleries.look_again())

    def _heed(self, announcement: Announcement) -> None:
        collection_id, revision = announcement
        self._wanted.setdefault(collection_id, set()).add(revision)
        # One follower a collection: one that takes long must not keep the others back.
        if collection_id not in self._followers:
            self._followers[collection_id] = asyncio.create_task(self._follow(collection_id))

    async def _follow(self, collection_id: UUID) -> None:
        try:
            while (wanted := self._wanted.pop(collection_id, None)) is not None:
                await _if_possible(self._follow_once(collection_id, wanted))
        finally:
            del self._followers[collection_id]

    async def _follow_once(self, collection_id: UUID, wanted: set[int | None]) -> None:
        if self._galleries.live_of(collection_id) is None or None in wanted:
            await self._galleries.look_again()
        revisions = [each for each in wanted if each is not None]
        if revisions:
            await self._galleries.catch_up(collection_id, revision=max(revisions))
        if None in wanted:
            await self._galleries.follow_activation(collection_id)

    async def close(self) -> None:
        """Give up what is under way."""
        followers = list(self._followers.values())
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)


async def _if_possible(look: Awaitable[None]) -> None:
    """Do what will be done again within a second, and then complained of, if it fails."""
    with suppress(Exception):
        await look
