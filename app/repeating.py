"""What is done again and again beside the requests, whatever becomes of it once."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from app.logs import describe_error, get_logger

log = get_logger()


class Step:
    """Something to be attempted again and again; that it fails is said once an outage."""

    def __init__(self, do: Callable[[], Awaitable[None]], *, failed: str, mended: str) -> None:
        """Take what to do, and the events of the log that tell of its outages."""
        self._do = do
        self._failed = failed
        self._mended = mended
        self._failing = False

    async def attempt(self) -> None:
        """Do it; an error goes into the log and no further."""
        try:
            await self._do()
        except Exception as error:  # noqa: BLE001  (nobody else would go on in its place)
            if not self._failing:  # once an outage, not each time
                log.error(self._failed, **describe_error(error))
            self._failing = True
        else:
            if self._failing:
                log.info(self._mended)
            self._failing = False


async def repeat(*steps: Step, every_s: float, first_after_s: float = 0.0) -> None:
    """Attempt steps in their order, for ever.

    Args:
        steps: none of which keeps the next from being attempted.
        every_s: about so long after the end of one round the next begins: replicas that an outage
            has brought into step do not stay so.
        first_after_s: before the first round.
    """
    await asyncio.sleep(first_after_s)
    while True:
        for step in steps:
            await step.attempt()
        await asyncio.sleep(every_s * random.uniform(0.8, 1.2))  # noqa: S311


@asynccontextmanager
async def beside(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let work go on, apart from each other, while the block runs; in the end it is cancelled."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
