"""Does a process grow? Its memory, descriptors and threads, looked at again and again."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import psutil

WARM_UP = 0.1
"""Of the samples: pools fill, caches too, and every code path is run for the first time."""
EDGE = 0.1
"""Of what is left: its beginning is compared with its end."""


class Footprint(NamedTuple):
    """A process at one moment."""

    memory_mb: float
    """Resident."""
    descriptors: int
    threads: int


class Footprints:
    """The samples of one process."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.samples: list[Footprint] = []

    def sample(self) -> None:
        """Look once."""
        with self._process.oneshot():
            self.samples.append(
                Footprint(
                    self._process.memory_info().rss / 2**20,
                    self._process.num_fds(),
                    self._process.num_threads(),
                )
            )

    def figures(self) -> dict[str, float]:
        """Where it began and ended, and by what share its memory grew: see `edges`."""
        began_mb, ended_mb = edges([each.memory_mb for each in self.samples])
        descriptors = edges([each.descriptors for each in self.samples])
        threads = edges([each.threads for each in self.samples])
        return {
            "memory_began_mb": began_mb,
            "memory_ended_mb": ended_mb,
            "memory_growth": ended_mb / began_mb - 1,
            "memory_peak_mb": max(each.memory_mb for each in self.samples),
            "descriptors_began": descriptors[0],
            "descriptors_ended": descriptors[1],
            "threads_began": threads[0],
            "threads_ended": threads[1],
        }


def edges(values: Sequence[float]) -> tuple[float, float]:
    """Give the medians of the first and of the last tenth of what follows the warm-up.

    Raises:
        ValueError: there are fewer than ten values.
    """
    if len(values) < 10:
        raise ValueError(f"{len(values)} samples are too few to tell growth from chance")
    warm = values[int(len(values) * WARM_UP) :]
    edge = max(1, int(len(warm) * EDGE))
    return float(np.median(warm[:edge])), float(np.median(warm[-edge:]))


@contextmanager
def sampled(pid: int, *, every_s: float) -> Iterator[Footprints]:
    """Look at a process now and then while the block runs."""
    footprints = Footprints(pid)
    over = threading.Event()

    def look() -> None:
        while not over.wait(every_s):
            footprints.sample()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield footprints
    finally:
        over.set()
        thread.join()


def missed(figures: dict[str, float], demands: dict[str, Callable[[float], bool]]) -> list[str]:
    """List the figures that do not meet what is demanded of them."""
    return [name for name, holds in demands.items() if not holds(figures[name])]
