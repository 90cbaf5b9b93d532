import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest

from app import inference as module
from app.inference import Inference
from app.problems import Overloaded


@pytest.fixture
def inference() -> Iterator[Inference]:
    inference = Inference(workers=2, queue_limit=1, threads=1)
    yield inference
    inference.close()


async def test_work_is_done_in_other_threads(inference: Inference) -> None:
    assert await inference.run(threading.get_ident) != threading.get_ident()


async def test_errors_come_back(inference: Inference) -> None:
    with pytest.raises(ZeroDivisionError):
        await inference.run(divmod, 1, 0)


async def test_a_full_queue_refuses_and_then_takes_again(inference: Inference) -> None:
    gate = threading.Event()
    waiting = [asyncio.create_task(inference.run(gate.wait, 10)) for _ in range(3)]
    await asyncio.sleep(0)

    with pytest.raises(Overloaded) as caught:
        await inference.run(gate.is_set)
    assert caught.value.headers == {"Retry-After": "1"}

    gate.set()
    assert await asyncio.gather(*waiting) == [True] * 3
    assert await inference.run(gate.is_set)


async def test_a_longer_queue_asks_for_more_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    inference = Inference(workers=1, queue_limit=19, threads=1)
    now = 0.0
    monkeypatch.setattr(module, "perf_counter", lambda: now)

    def work() -> None:
        nonlocal now
        now += 0.21

    for _ in range(5):
        await inference.run(work)
    gate = threading.Event()
    waiting = [asyncio.create_task(inference.run(gate.wait, 10)) for _ in range(20)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as caught:
        await inference.run(gate.is_set)
    assert caught.value.headers["Retry-After"] == "5"  # 20 requests of 0.21 s
    gate.set()
    await asyncio.gather(*waiting)
    inference.close()


async def test_a_place_is_given_back_after_an_error(inference: Inference) -> None:
    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            await inference.run(divmod, 1, 0)
    assert await inference.run(int) == 0


async def test_the_event_loop_goes_on_while_work_is_done(inference: Inference) -> None:
    gate = threading.Event()
    working = asyncio.create_task(inference.run(gate.wait, 10))
    await asyncio.sleep(0.01)  # comes back at once, although the work waits for us
    gate.set()
    assert await working


async def test_each_keeps_the_order_and_the_bound(inference: Inference) -> None:
    running = 0
    most = 0
    lock = threading.Lock()

    def work(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.01)
        with lock:
            running -= 1
        return number * number

    def fetch(number: int) -> Callable[[], Awaitable[int]]:
        async def fetched() -> int:
            return number

        return fetched

    async with inference.place():
        results = await inference.each_in_thread(work, [fetch(number) for number in range(9)])

    assert results == [number * number for number in range(9)]
    assert most <= 2


async def test_the_first_error_of_each_comes_when_all_have_ended(inference: Inference) -> None:
    ended: list[int] = []

    def work(number: int) -> None:
        threading.Event().wait(0.05 if number == 1 else 0)
        ended.append(number)
        if number in (1, 2):
            raise ValueError(number)

    def fetch(number: int) -> Callable[[], Awaitable[int]]:
        async def fetched() -> int:
            return number

        return fetched

    async with inference.place():
        with pytest.raises(ValueError, match="1"):
            await inference.each_in_thread(work, [fetch(number) for number in range(6)])
        assert sorted(ended) == [0, 1, 2, 3, 4, 5]
