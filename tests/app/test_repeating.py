import asyncio
import json

import pytest

from app.logs import configure_logs
from app.repeating import Step, beside, repeat


async def test_a_step_that_fails_is_told_of_once_an_outage_and_stops_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("INFO")  # to the stream that is captured
    broken, after, over = [False, True, True, False, True], [], asyncio.Event()

    async def fail() -> None:
        if not broken:
            over.set()
        elif broken.pop(0):
            raise ConnectionError

    async def come_after() -> None:
        after.append(len(broken))

    steps = (
        Step(fail, failed="not_done", mended="done_again"),
        Step(come_after, failed="not_come", mended="came_again"),
    )
    async with beside(repeat(*steps, every_s=0.001)), asyncio.timeout(5):
        await over.wait()
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events == ["not_done", "done_again", "not_done", "done_again"]
    assert after[:5] == [4, 3, 2, 1, 0]
    rounds = len(after)
    await asyncio.sleep(0.02)
    assert len(after) == rounds


async def test_the_first_round_can_wait() -> None:
    done = asyncio.Event()

    async def do() -> None:
        done.set()

    step = Step(do, failed="not_done", mended="done_again")
    async with beside(repeat(step, every_s=60, first_after_s=0.05)), asyncio.timeout(5):
        await asyncio.sleep(0)
        assert not done.is_set()
        await done.wait()
