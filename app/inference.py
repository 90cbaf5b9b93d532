"""Model work off the event loop: a bounded pool of threads, and a bounded queue before it.

Threads, not processes: ONNX Runtime, OpenCV and faiss let go of the interpreter while they work,
and the nets and galleries are shared.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from threading import Lock
from time import perf_counter
from typing import ParamSpec, TypeVar

import numpy as np

from app.patience import present_patience
from app.problems import Overloaded
from models.embed import embed
from models.identifier import QueryPath
from models.runtime import configure_threads, run_on_noughts

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

MAX_RETRY_AFTER_S = 60


class Inference:
    """Runs model work for requests, each of which holds one place from its start to its end."""

    def __init__(self, *, workers: int, queue_limit: int, threads: int) -> None:
        """Make the pool.

        Args:
            workers: pictures worked on at once.
            queue_limit: requests that may wait.
            threads: for OpenCV and faiss within one worker.
        """
        self._workers = workers
        self._places = self._free_places = workers + queue_limit
        self._pace = _Pace()
        self._executor = ThreadPoolExecutor(
            workers,
            thread_name_prefix="inference",
            initializer=configure_threads,
            initargs=(threads,),
        )

    @property
    def running(self) -> int:
        """Requests that hold places, as many as there are workers at most."""
        return min(self._places - self._free_places, self._workers)

    @property
    def waiting(self) -> int:
        """Requests that hold places beyond those."""
        return self._places - self._free_places - self.running

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the one piece of work of a request.

        Raises:
            Overloaded: there is no place for the request.
        """
        async with self.place():
            return await self.in_thread(work, *args, **kwargs)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for a request that has several pieces of work.

        It is given back when nothing of them runs any more, also if the client has gone before.

        Raises:
            Overloaded: there is none.
        """
        if self._free_places == 0:
            raise Overloaded(
                "Too many requests are waiting; try again shortly.",
                headers={"Retry-After": str(self._drained_in_s())},
            )
        self._free_places -= 1
        patience = present_patience()
        try:
            async with nullcontext() if patience is None else patience.watched():
                yield
        finally:
            self._free_places += 1
            self._pace.note_request()

    def _drained_in_s(self) -> int:
        """How long the requests that hold places now will take, in whole seconds."""
        held = self._places - self._free_places
        seconds = held * self._pace.seconds_a_request / self._workers
        return min(max(math.ceil(seconds), 1), MAX_RETRY_AFTER_S)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a piece of work of a request that holds a place.

        Raises:
            ClientGone, DeadlineExceeded: it was not begun; see app/patience.py.
        """
        patience = present_patience()
        if patience is None:
            return await asyncio.wrap_future(self._submit(work, *args, **kwargs))
        patience.check()
        return await patience.result_of(self._submit(work, *args, **kwargs))

    def _submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        def timed() -> T:
            start = perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                self._pace.note_work(perf_counter() - start)

        return self._executor.submit(timed)

    async def each_in_thread(
        self, work: Callable[[Item], T], items: Sequence[Callable[[], Awaitable[Item]]]
    ) -> list[T]:
        """Do the same work for each picture of a request that holds a place.

        Args:
            work: done in the pool, as often at once as there are workers.
            items: fetch a picture each, called when its turn comes: they need not all lie in
                memory, and other requests' work gets in between.

        Raises:
            Exception: the first in the order of the items, after all have ended: none works on
                when the place is given back and the uploads are closed.
        """
        turns = asyncio.Semaphore(self._workers)

        async def one(fetch: Callable[[], Awaitable[Item]]) -> T:
            async with turns:
                return await self.in_thread(work, await fetch())

        results: list[T] = []
        for result in await asyncio.gather(
            *(one(fetch) for fetch in items), return_exceptions=True
        ):
            if isinstance(result, BaseException):
                raise result
            results.append(result)
        return results

    def close(self) -> None:
        """Finish what has begun and stop the threads."""
        self._executor.shutdown(cancel_futures=True)


class _Pace:
    """How long a worker takes for a request, of late."""

    FORGOTTEN = 0.02
    """Of what is known, with each request."""

    def __init__(self) -> None:
        self._requests = 0.0
        self._worked_s = 0.0
        self._lock = Lock()

    def note_work(self, seconds: float) -> None:
        """A piece of a request's work is done. Called in the workers' threads."""
        with self._lock:
            self._worked_s += seconds

    def note_request(self) -> None:
        """A request has had all its pieces done."""
        with self._lock:
            self._worked_s *= 1 - self.FORGOTTEN
            self._requests *= 1 - self.FORGOTTEN
            self._requests += 1

    @property
    def seconds_a_request(self) -> float:
        return self._worked_s / self._requests if self._requests else 0.0


def warm(path: QueryPath) -> None:
    """Run each net once: the first run of a session allocates and tunes, and takes far longer."""
    for session in (path.nets.proposal, path.nets.refinement, path.nets.output):
        run_on_noughts(session)
    side_px = path.embedder.manifest.side_px
    embed(path.embedder, np.zeros((1, side_px, side_px, 3), np.uint8))
