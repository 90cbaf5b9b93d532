"""How a worker, which listens to nobody, shows that it lives: a file that it touches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

ALIVE = "worker.alive"
"""In the data directory. The health check of the image looks how old it is."""
TOUCH_EVERY_S = 5.0


@asynccontextmanager
async def showing_life(data_dir: Path) -> AsyncIterator[None]:
    """Touch the file every few seconds while the block runs, and remove it in the end.

    By the event loop: one that hangs touches nothing.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    file = data_dir / ALIVE
    file.touch()
    touching = asyncio.create_task(_keep_touching(file))
    try:
        yield
    finally:
        touching.cancel()
        with suppress(asyncio.CancelledError):
            await touching
        file.unlink(missing_ok=True)


async def _keep_touching(file: Path) -> None:
    while True:
        await asyncio.sleep(TOUCH_EVERY_S)
        with suppress(OSError):  # a full disk is no reason to end: the check will tell
            file.touch()
