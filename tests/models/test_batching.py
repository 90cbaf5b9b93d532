"""Calls that share a run get what they would have got alone, and nobody waits for company."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from models.arrays import Floats
from models.batching import Batcher

WAIT_S = 10.0


def crops(*values: int) -> NDArray[np.uint8]:
    """(n, 1, 1, 3) faces of one value each."""
    return np.array(values, np.uint8).reshape(-1, 1, 1, 1).repeat(3, axis=3)


def values_of(faces: NDArray[np.uint8]) -> Floats:
    return faces[:, 0, 0, :1].astype(np.float32)


class Net:
    """Notes its runs, and can be held."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.entered = threading.Event()
        self.gate = threading.Event()

    def __call__(self, faces: NDArray[np.uint8]) -> Floats:
        self.runs.append([int(value) for value in faces[:, 0, 0, 0]])
        self.entered.set()
        assert self.gate.wait(WAIT_S)
        if 13 in self.runs[-1]:
            raise ValueError("13")
        return values_of(faces)


def queued_behind_a_run(
    net: Net, batcher: Batcher, *calls: NDArray[np.uint8]
) -> list[Callable[[], Floats]]:
    """Have calls wait, in their order, while a run of another is under way; then let all go."""
    with ThreadPoolExecutor(len(calls) + 1) as pool:
        first = pool.submit(batcher, crops(0))
        assert net.entered.wait(WAIT_S)
        waiting = []
        for number, call in enumerate(calls):
            waiting.append(pool.submit(batcher, call))
            while len(batcher._waiting) <= number:
                pass
        net.gate.set()
        np.testing.assert_array_equal(first.result(WAIT_S), [[0]])
    return [each.result for each in waiting]


def test_a_lone_call_runs_at_once() -> None:
    net = Net()
    net.gate.set()
    batcher = Batcher(net, 8)
    np.testing.assert_array_equal(batcher(crops(1, 2)), [[1], [2]])
    np.testing.assert_array_equal(batcher(crops(3)), [[3]])
    assert net.runs == [[1, 2], [3]]


def test_what_comes_during_a_run_makes_the_next_one() -> None:
    net = Net()
    results = queued_behind_a_run(net, Batcher(net, 8), crops(1), crops(2, 3), crops(4))
    np.testing.assert_array_equal(results[0](), [[1]])
    np.testing.assert_array_equal(results[1](), [[2], [3]])
    np.testing.assert_array_equal(results[2](), [[4]])
    assert net.runs == [[0], [1, 2, 3, 4]]


def test_a_run_has_no_more_faces_than_the_limit() -> None:
    net = Net()
    calls = [crops(1), crops(2, 3), crops(4), crops(5, 6, 7, 8), crops(9)]
    results = queued_behind_a_run(net, Batcher(net, 3), *calls)
    for call, result in zip(calls, results, strict=True):
        np.testing.assert_array_equal(result(), values_of(call))
    assert net.runs == [[0], [1, 2, 3], [4], [5, 6, 7, 8], [9]]


def test_an_error_is_of_those_who_shared_the_run() -> None:
    net = Net()
    results = queued_behind_a_run(net, Batcher(net, 2), crops(13), crops(2), crops(3))
    for result in results[:2]:
        with pytest.raises(ValueError, match="13"):
            result()
    np.testing.assert_array_equal(results[2](), [[3]])


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Batcher(values_of, 0)


def test_many_threads_get_their_own() -> None:
    batcher = Batcher(values_of, 4)

    def ask(number: int) -> bool:
        faces = crops(*(np.arange(number % 5) + number % 200))
        return bool((batcher(faces) == values_of(faces)).all())

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(2000)))
