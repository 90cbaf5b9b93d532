"""Purges again and again while the service runs; of many replicas, one at a time does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.logs import describe_error, get_logger
from app.retention.service import purge
from app.services import Services

FIRST_AFTER_S = 60.0
"""A service that has just started has more urgent things to do."""
EVERY_S = 600.0
"""Days are kept, so minutes more do not count; what is deleted by hand leaves the tables' files
as soon."""

log = get_logger()


@asynccontextmanager
async def purging(services: Services) -> AsyncIterator[None]:
    """Purge now and then while the block runs; replicas find within a second who was erased."""
    task = asyncio.create_task(_purge_again_and_again(services))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def forget_in_memory(services: Services) -> None:
    """Have nothing in this process's memory any more of subjects who were deleted.

    But for what the bundles have learnt, which goes with them.
    """
    await services.galleries.forget_deleted()
    services.database.forget_statements()


async def _purge_again_and_again(services: Services) -> None:
    await asyncio.sleep(FIRST_AFTER_S)
    while True:
        try:
            await purge(
                database=services.database,
                settings=services.settings,
                holds=services.bundles.files.holds,
                wait=False,
            )
            await forget_in_memory(services)
        except Exception as error:  # noqa: BLE001  (nobody else would go on in its place)
            log.error("not_purged", **describe_error(error))
        await asyncio.sleep(EVERY_S)
