"""Work that comes to its end although whoever began it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def leave_to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do what others may wait for, too: it goes on when the one who has begun it has to leave."""
    task = asyncio.create_task(work)
    task.add_done_callback(take_notice)
    await asyncio.shield(task)


async def wait_for_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do what must not go on unseen: whoever is cancelled meanwhile still waits for its end."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def take_notice(ended: "asyncio.Future[None]") -> None:
    """Look at how something ended that perhaps nobody waits for any more."""
    if not ended.cancelled():
        ended.exception()
