import asyncio
import os

import psutil
import pytest

from app import freed_memory
from app.freed_memory import giving_back_memory

BLOCK_BYTES = 100_000
"""Below the size from which on glibc maps each block by itself."""
BLOCKS = 2_000
GIVEN_BACK_BYTES = BLOCKS * BLOCK_BYTES // 4


def resident_bytes() -> int:
    resident: int = psutil.Process(os.getpid()).memory_info().rss
    return resident


async def test_what_was_freed_in_the_midst_of_the_heap_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(freed_memory, "EVERY_S", 0.05)
    blocks = [b"x" * BLOCK_BYTES for _ in range(BLOCKS)]
    # Each second one stays, so that no end of the heap gets free by itself.
    del blocks[::2]
    before = resident_bytes()
    async with giving_back_memory():
        for _ in range(100):
            await asyncio.sleep(0.05)
            if before - resident_bytes() > GIVEN_BACK_BYTES:
                return
    pytest.fail(f"only {before - resident_bytes()} bytes were given back")
