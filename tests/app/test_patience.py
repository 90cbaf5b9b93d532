"""What nobody waits for is not begun; what has begun comes to its end."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from app.inference import Inference
from app.patience import ClientGone, Patience, patient, present_patience
from app.problems import DeadlineExceeded


@pytest.fixture
async def inference() -> AsyncIterator[Inference]:
    inference = Inference(workers=1, queue_limit=3, threads=1)
    yield inference
    inference.close()


def begun(seconds: float, gone: asyncio.Event) -> Patience:
    async def until_gone() -> None:
        await gone.wait()

    patience = Patience(seconds, until_gone)
    patience.begin()
    return patience


async def do(inference: Inference, done: list[str], name: str, patience: Patience) -> None:
    with patient(patience):
        await inference.run(done.append, name)


async def test_what_waits_is_dropped_when_its_client_goes(inference: Inference) -> None:
    gate = threading.Event()
    busy = asyncio.create_task(inference.run(gate.wait, 10))
    await asyncio.sleep(0.01)
    done: list[str] = []
    gone, here = asyncio.Event(), asyncio.Event()
    leaves = asyncio.create_task(do(inference, done, "leaves", begun(10, gone)))
    stays = asyncio.create_task(do(inference, done, "stays", begun(10, here)))
    await asyncio.sleep(0.01)

    gone.set()
    with pytest.raises(ClientGone):  # at once: the worker is still busy
        await asyncio.wait_for(leaves, 1)
    gate.set()
    await stays
    assert await busy
    assert done == ["stays"]


async def test_what_waits_is_dropped_at_its_deadline(inference: Inference) -> None:
    gate = threading.Event()
    busy = asyncio.create_task(inference.run(gate.wait, 10))
    done: list[str] = []
    with pytest.raises(DeadlineExceeded) as caught:
        await asyncio.wait_for(do(inference, done, "late", begun(0.05, asyncio.Event())), 1)
    assert caught.value.headers == {"Retry-After": "1"}
    gate.set()
    assert await busy
    assert done == []


async def test_what_has_begun_ends_and_the_next_piece_is_not_begun(inference: Inference) -> None:
    gone = asyncio.Event()
    started, gate = threading.Event(), threading.Event()
    done: list[str] = []

    def piece() -> None:
        started.set()
        gate.wait(10)
        done.append("piece")

    async def request() -> None:
        with patient(begun(10, gone)):
            async with inference.place():
                await inference.in_thread(piece)
                await inference.in_thread(done.append, "next")

    working = asyncio.create_task(request())
    await asyncio.to_thread(started.wait)
    gone.set()
    await asyncio.sleep(0.05)
    assert not working.done()  # it holds its place until nothing of it runs
    gate.set()
    with pytest.raises(ClientGone):
        await working
    assert done == ["piece"]


async def test_work_that_comes_too_late_is_not_begun(inference: Inference) -> None:
    done: list[str] = []
    patience = begun(0.001, asyncio.Event())
    await asyncio.sleep(0.01)
    with pytest.raises(DeadlineExceeded):
        await do(inference, done, "late", patience)
    assert done == []


async def test_time_runs_only_when_the_request_has_come_whole(inference: Inference) -> None:
    async def until_gone() -> None:
        raise AssertionError("the body would be taken from the route")

    done: list[str] = []
    patience = Patience(0.001, until_gone)
    await asyncio.sleep(0.01)
    await do(inference, done, "in time", patience)
    assert done == ["in time"]


async def test_a_job_that_a_request_has_begun_has_all_the_time(inference: Inference) -> None:
    done: list[str] = []
    go_on = asyncio.Event()

    async def job() -> None:
        await go_on.wait()
        assert present_patience() is None
        await inference.run(done.append, "job")

    with patient(begun(0.001, asyncio.Event())):
        working = asyncio.create_task(job())
        await asyncio.sleep(0.01)
    go_on.set()
    await working
    assert done == ["job"]


async def test_a_request_that_is_cancelled_frees_its_place(inference: Inference) -> None:
    gate = threading.Event()
    busy = asyncio.create_task(inference.run(gate.wait, 10))
    done: list[str] = []
    for _ in range(10):
        waiting = asyncio.create_task(do(inference, done, "it", begun(10, asyncio.Event())))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    gate.set()
    assert await busy
    await do(inference, done, "after", begun(10, asyncio.Event()))
    assert done == ["after"]
