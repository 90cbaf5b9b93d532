import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from app.tasks import leave_to_its_end, wait_for_its_end

ToItsEnd = Callable[[Coroutine[Any, Any, None]], Awaitable[None]]


@pytest.mark.parametrize("to_its_end", [leave_to_its_end, wait_for_its_end])
async def test_it_goes_on_when_who_has_begun_it_is_cancelled(to_its_end: ToItsEnd) -> None:
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        ended.set()

    waiting = asyncio.ensure_future(to_its_end(work()))
    await begun.wait()
    waiting.cancel()
    await asyncio.sleep(0.01)
    assert waiting.done() is (to_its_end is leave_to_its_end)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    assert ended.is_set()


@pytest.mark.parametrize("to_its_end", [leave_to_its_end, wait_for_its_end])
async def test_what_goes_wrong_is_raised(to_its_end: ToItsEnd) -> None:
    async def fail() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await to_its_end(fail())


async def test_nobody_is_told_of_an_error_after_having_left() -> None:
    told: list[object] = []
    loop, gone_wrong = asyncio.get_running_loop(), ConnectionError()

    def tell(_: object, context: dict[str, object]) -> None:
        told.extend([context] if context.get("exception") is gone_wrong else [])

    loop.set_exception_handler(tell)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def fail() -> None:
        begun.set()
        await go_on.wait()
        raise gone_wrong

    waiting = asyncio.ensure_future(leave_to_its_end(fail()))
    await begun.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    go_on.set()
    await asyncio.sleep(0.01)
    gc.collect()
    loop.set_exception_handler(None)
    assert told == []
