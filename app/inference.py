"""Model work off the event loop: a bounded pool of threads, and a bounded queue before it.

Threads, not processes: ONNX Runtime, OpenCV and faiss let go of the interpreter while they work,
and the nets and galleries are shared.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np

from app.problems import Overloaded
from models.embed import embed
from models.identifier import QueryPath
from models.runtime import configure_threads, run_on_noughts

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

RETRY_AFTER_S = 1
"""What a refused client is told to wait; a full queue of pictures drains in about that time."""


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
        self._free_places = workers + queue_limit
        self._executor = ThreadPoolExecutor(
            workers,
            thread_name_prefix="inference",
            initializer=configure_threads,
            initargs=(threads,),
        )

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

        Raises:
            Overloaded: there is none.
        """
        if self._free_places == 0:
            raise Overloaded(
                "Too many requests are waiting; try again shortly.",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        self._free_places -= 1
        try:
            yield
        finally:
            self._free_places += 1

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a piece of work of a request that holds a place."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(work, *args, **kwargs))

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


def warm(path: QueryPath) -> None:
    """Run each net once: the first run of a session allocates and tunes, and takes far longer."""
    for session in (path.nets.proposal, path.nets.refinement, path.nets.output):
        run_on_noughts(session)
    side_px = path.embedder.manifest.side_px
    embed(path.embedder, np.zeros((1, side_px, side_px, 3), np.uint8))
