"""Gives memory that was freed back to the system.

glibc keeps what large pictures have left in the midst of its heaps, so a process that has decoded
some is as large as the worst of them together. Where there is no glibc, nothing is done.
"""

import asyncio
import ctypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.repeating import Step, beside, repeat

EVERY_S = 5.0


@asynccontextmanager
async def giving_back_memory() -> AsyncIterator[None]:
    """Give back what was freed, again and again while the block runs."""

    async def in_a_thread() -> None:
        # It looks through all heaps, which takes some milliseconds.
        await asyncio.to_thread(give_back)

    step = Step(in_a_thread, failed="memory_not_given_back", mended="memory_given_back_again")
    async with beside(repeat(step, every_s=EVERY_S)):
        yield


def give_back() -> None:
    """Give back what was freed, once."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
