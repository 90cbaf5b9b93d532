import asyncio
import os
from pathlib import Path

import pytest

from app.jobs import alive
from app.jobs.alive import ALIVE, showing_life


async def test_the_file_is_young_while_the_block_runs_and_then_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "TOUCH_EVERY_S", 0.05)
    file = tmp_path / ALIVE
    async with showing_life(tmp_path):
        assert file.exists()
        os.utime(file, (0, 0))
        async with asyncio.timeout(10):
            while file.stat().st_mtime == 0:
                await asyncio.sleep(0.05)
    assert not file.exists()
