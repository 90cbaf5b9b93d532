"""Keeps the galleries like the database while nobody here writes.

Other services may write to the same database; and a write of our own may have been committed
without `catch_up` having succeeded. Both are seen within about `POLL_S`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.gallery.service import Galleries
from app.logs import describe_error, get_logger

POLL_S = 1.0
"""Between two looks at the collections' revisions: one small query each."""

log = get_logger()


@asynccontextmanager
async def following(galleries: Galleries) -> AsyncIterator[None]:
    """Follow the database while the block runs."""
    task = asyncio.create_task(_follow(galleries))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _follow(galleries: Galleries) -> None:
    failing = False
    while True:
        await asyncio.sleep(POLL_S)
        try:
            await galleries.refresh()
            await galleries.recalibrate()
        except Exception as error:  # noqa: BLE001  (nobody else would go on in its place)
            if not failing:  # once an outage, not each second
                log.error("galleries_not_refreshed", **describe_error(error))
            failing = True
        else:
            if failing:
                log.info("galleries_refreshed_again")
            failing = False
