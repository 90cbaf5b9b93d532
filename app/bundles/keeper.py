"""What is done of itself with the files of the bundles: leftovers go, the cache is filled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from app.bundles.service import Bundles
from app.logs import describe_error, get_logger

LOOK_EVERY_S = 5.0

log = get_logger()


@asynccontextmanager
async def keeping_bundles(bundles: Bundles) -> AsyncIterator[None]:
    """Look after the files while the block runs, in every process that opens bundles."""
    # Apart from each other: to fetch a bundle can take long, and what an erasure has condemned must
    # not wait for that.
    tasks = [
        asyncio.create_task(_again_and_again("cleared", bundles.clear_leftovers)),
        asyncio.create_task(_again_and_again("shared", bundles.sharing.share)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _again_and_again(name: str, step: Callable[[], Awaitable[None]]) -> None:
    failing = False
    while True:
        try:
            await step()
        except Exception as error:  # noqa: BLE001  (nobody else would go on in its place)
            if not failing:  # once an outage
                log.error(f"bundles_not_{name}", **describe_error(error))
            failing = True
        else:
            if failing:
                log.info(f"bundles_{name}_again")
            failing = False
        await asyncio.sleep(LOOK_EVERY_S)
