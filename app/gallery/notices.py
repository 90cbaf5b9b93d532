"""Tells other replicas through Redis that something was committed.

A notice says of which collection there is something new, and no more: what it is, the database
says. So one that is lost, comes twice, late or from a stranger costs a look at the database at
most, and nothing hangs on Redis: what no notice tells of, each replica finds within a second.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.announcements import Announcement
from app.database import Database
from app.logs import describe_error, get_logger

CHANNEL = "cohort:changes"
RETRY_S = 0.5
"""Between two attempts while Redis is away."""

log = get_logger()


def write_notice(announcement: Announcement) -> str:
    """Write what is sent: a collection's id, and the revision if the feed has grown."""
    collection_id, revision = announcement
    return str(collection_id) if revision is None else f"{collection_id} {revision}"


def read_notice(sent: bytes) -> Announcement:
    """Read what was sent.

    Raises:
        ValueError: it is no notice of ours.
    """
    collection_id, _, revision = sent.decode("ascii").partition(" ")
    return Announcement(UUID(collection_id), int(revision) if revision else None)


@asynccontextmanager
async def publishing(database: Database, redis: Redis | None) -> AsyncIterator[None]:
    """Publish what is committed through this process while the block runs, if there is a Redis.

    Writes don't wait for it.
    """
    if redis is None:
        yield
        return
    publisher = _Publisher(redis)
    database.announce = publisher.add
    task = asyncio.create_task(publisher.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class _Publisher:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: dict[tuple[UUID, bool], Announcement] = {}
        """The newest of each collection: however long Redis is away, these are not many."""
        self._came = asyncio.Event()

    def add(self, announcement: Announcement) -> None:
        """Take an announcement; returns at once."""
        self._waiting[announcement.collection_id, announcement.revision is None] = announcement
        self._came.set()

    async def run(self) -> None:
        failing = False
        while True:
            await self._came.wait()
            self._came.clear()
            waiting, self._waiting = self._waiting, {}
            try:
                for announcement in waiting.values():
                    await self._redis.publish(CHANNEL, write_notice(announcement))
            except (RedisError, OSError) as error:
                if not failing:  # once an outage
                    log.error("changes_not_published", **describe_error(error))
                failing = True
                # What was to be said is old by then: the others will have looked.
                await asyncio.sleep(RETRY_S)
            else:
                if failing:
                    log.info("changes_published_again")
                failing = False
