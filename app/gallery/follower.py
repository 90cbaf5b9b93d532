"""Keeps the galleries like the database while nobody here writes.

Other services may write to the same database; and a write of our own may have been committed
without `catch_up` having succeeded. Both are seen within about `POLL_S`; another bundle, and new
thresholds, as soon after as they can be made. With Redis, app/gallery/hearing.py mostly knows
before; nothing hangs on it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from app.gallery.service import Galleries
from app.logs import describe_error, get_logger

POLL_S = 1.0
"""Between two looks at the collections' revisions: one small query each."""

log = get_logger()


@asynccontextmanager
async def following(galleries: Galleries) -> AsyncIterator[None]:
    """Follow the database while the block runs."""
    # Apart from each other: loading a collection, opening a bundle or taking thresholds anew can
    # take long, and who was deleted elsewhere must not be answered meanwhile.
    tasks = [
        asyncio.create_task(_again_and_again(name, step))
        for name, step in (
            ("refreshed", galleries.follow_changes),
            ("taken_up", galleries.load_new),
            ("bundles_followed", galleries.follow_activations),
            ("recalibrated", galleries.recalibrate),
        )
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
        # Not in step with other replicas: an outage would bring them into step.
        await asyncio.sleep(POLL_S * random.uniform(0.8, 1.2))  # noqa: S311
        try:
            await step()
        except Exception as error:  # noqa: BLE001  (nobody else would go on in its place)
            if not failing:  # once an outage, not each second
                log.error(f"galleries_not_{name}", **describe_error(error))
            failing = True
        else:
            if failing:
                log.info(f"galleries_{name}_again")
            failing = False
