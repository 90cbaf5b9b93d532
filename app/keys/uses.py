"""Writes down when keys were used last, aside and once a minute: no request waits for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.database import Database
from app.keys.ring import KeyRing
from app.logs import describe_error, get_logger

WRITE_EVERY_S = 60.0

log = get_logger()


@asynccontextmanager
async def opened_key_ring(database: Database, *, cache_s: float) -> AsyncIterator[KeyRing]:
    """Open the keys, and keep their last uses written down."""
    keys = KeyRing(database, cache_s=cache_s)
    task = asyncio.create_task(_write_now_and_then(keys))
    try:
        yield keys
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await _write(keys)
        await keys.close()


async def _write_now_and_then(keys: KeyRing) -> None:
    while True:
        await asyncio.sleep(WRITE_EVERY_S)
        await _write(keys)


async def _write(keys: KeyRing) -> None:
    try:
        await keys.write_last_uses()
    except Exception as error:  # noqa: BLE001  (they are lost, and nothing else is to be)
        log.warning("last_uses_lost", **describe_error(error))
