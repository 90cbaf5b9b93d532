"""Keeps the galleries like the database while nobody here writes.

Other services may write to the same database; and a write of our own may have been committed
without `catch_up` having succeeded. Both are seen within about `POLL_S`; another bundle, and new
thresholds, as soon after as they can be made. With Redis, app/gallery/hearing.py mostly knows
before; nothing hangs on it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

from app.gallery.service import Galleries
from app.repeating import Step, beside, repeat

POLL_S = 1.0
"""Between two looks at the collections' revisions: one small query each."""


@asynccontextmanager
async def following(galleries: Galleries) -> AsyncIterator[None]:
    """Follow the database while the block runs."""
    under_way = _UnderWay(galleries)
    # Apart from each other: loading a collection, opening a bundle or taking thresholds anew can
    # take long, and who was deleted elsewhere must not be answered meanwhile.
    rounds = [
        repeat(
            Step(do, failed=f"galleries_not_{name}", mended=f"galleries_{name}_again"),
            every_s=POLL_S,
            first_after_s=POLL_S,
        )
        for name, do in (
            ("refreshed", partial(galleries.follow_changes, under_way.catch_up_all)),
            ("taken_up", galleries.load_new),
            ("bundles_followed", galleries.follow_activations),
            ("recalibrated", galleries.recalibrate),
        )
    ]
    try:
        async with beside(*rounds):
            yield
    finally:
        await under_way.close()


class _UnderWay:
    """The collections that are being brought up to date, one task each.

    One that is read whole takes longer than a round: it goes on beside the next ones.
    """

    def __init__(self, galleries: Galleries) -> None:
        self._galleries = galleries
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    async def catch_up_all(self, behind: Mapping[UUID, int]) -> list[BaseException]:
        new = {
            collection_id: asyncio.create_task(self._galleries.follow(collection_id, revision))
            for collection_id, revision in behind.items()
            if collection_id not in self._tasks
        }
        self._tasks |= new
        if new:
            await asyncio.wait(new.values(), timeout=POLL_S)
        ended = {each: task for each, task in self._tasks.items() if task.done()}
        for collection_id in ended:
            del self._tasks[collection_id]
        return [error for task in ended.values() if (error := task.exception()) is not None]

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
