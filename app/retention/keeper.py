"""Purges again and again while the service runs; of many replicas, one at a time does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.repeating import Step, beside, repeat
from app.retention.service import purge
from app.services import Services

FIRST_AFTER_S = 60.0
"""A service that has just started has more urgent things to do."""
EVERY_S = 600.0
"""Days are kept, so minutes more do not count; what is deleted by hand leaves the tables' files
as soon."""


@asynccontextmanager
async def purging(services: Services) -> AsyncIterator[None]:
    """Purge now and then while the block runs; replicas find within a second who was erased."""

    async def purge_all() -> None:
        await purge(
            database=services.database,
            settings=services.settings,
            holds=services.bundles.files.holds,
            wait=False,
        )
        await forget_in_memory(services)

    step = Step(purge_all, failed="not_purged", mended="purged_again")
    async with beside(repeat(step, every_s=EVERY_S, first_after_s=FIRST_AFTER_S)):
        yield


async def forget_in_memory(services: Services) -> None:
    """Have nothing in this process's memory any more of subjects who were deleted.

    But for what the bundles have learnt, which goes with them.
    """
    await services.galleries.forget_deleted()
    services.database.forget_statements()
