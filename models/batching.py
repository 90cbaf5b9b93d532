"""Faces that come at the same time share a run of the net. Nobody waits for company.

A run on a GPU takes about as long for eight faces as for one, so what comes while one is under way
makes the next one together. There is no timer: a lone call runs at once.
"""

import threading
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats


class _Call:
    """Faces that wait for a run."""

    def __init__(self, crops: NDArray[np.uint8]) -> None:
        self.crops = crops
        self.woken = threading.Event()
        self.templates: Floats | None = None
        self.error: BaseException | None = None


class Batcher:
    """Runs the net for several threads at once. Who finds nobody running runs for those that wait.

    The one that has run hands on to the first of those that have come meanwhile, so nobody works
    for others after having got what it came for.
    """

    def __init__(self, run: Callable[[NDArray[np.uint8]], Floats], limit: int) -> None:
        """Take the net.

        Args:
            run: (n, S, S, 3) uint8 faces -> (n, d) templates; called by one thread at a time.
            limit: faces of several calls in one run; a single call may have more.

        Raises:
            ValueError: `limit` is below 1.
        """
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        self._run = run
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._running = False

    def __call__(self, crops: NDArray[np.uint8]) -> Floats:
        """Make the templates of some faces; blocks until they are there.

        Args:
            crops: (n, S, S, 3) uint8; n may be 0.

        Returns:
            (n, d) float32, in the order of the faces.

        Raises:
            Exception: what `run` raised; all that shared the run get it.
        """
        call = _Call(crops)
        with self._lock:
            self._waiting.append(call)
            leads = not self._running
            self._running = True
        if not leads:
            call.woken.wait()  # with a result, or to lead
        if call.templates is None and call.error is None:
            self._lead()
        if call.error is not None:
            raise call.error
        assert call.templates is not None  # noqa: S101  (it had its turn first of all)
        return call.templates

    def _lead(self) -> None:
        """Run for the first calls that wait, the caller's own before all, and hand on."""
        batch = self._take_batch()
        try:
            templates = self._run(np.concatenate([call.crops for call in batch]))
            ends = np.cumsum([len(call.crops) for call in batch])
            for call, rows in zip(batch, np.split(templates, ends[:-1]), strict=True):
                call.templates = rows
        except BaseException as error:  # noqa: BLE001  (whoever shared the run is to have it)
            for call in batch:
                call.error = error
        with self._lock:
            successor = self._waiting[0] if self._waiting else None
            self._running = successor is not None
        for call in batch:
            call.woken.set()
        if successor is not None:
            successor.woken.set()

    def _take_batch(self) -> list[_Call]:
        with self._lock:
            batch = [self._waiting.popleft()]
            faces = len(batch[0].crops)
            while self._waiting and faces + len(self._waiting[0].crops) <= self._limit:
                call = self._waiting.popleft()
                faces += len(call.crops)
                batch.append(call)
            return batch
