"""How long a request is worth working on: until its deadline, and while its client is there.

Nothing is ever interrupted. Work for a request that is no longer worth it is just not begun, and
only model work asks: it all lies before the transaction of a write, which so either does not begin
or comes to its end.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from time import monotonic
from typing import Any, TypeVar

from app.problems import DeadlineExceeded

T = TypeVar("T")

RETRY_AFTER_S = 1
CLIENT_GONE = 499
"""Stands for the status of an answer that nobody is there for any more; nobody gets it. The log,
the metrics and the audit log have it, as those of other servers do."""


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


class Patience:
    """Of one request; it begins when the request has come whole."""

    def __init__(self, seconds: float, until_gone: Callable[[], Awaitable[None]]) -> None:
        """Take what it needs.

        Args:
            seconds: that work may wait.
            until_gone: returns when the client has gone; called after `begin`, and cancelled when
                that matters no more.
        """
        self._seconds = seconds
        self._deadline = math.inf
        self._until_gone = until_gone
        self.answered = False
        self._gone = False
        self._late = False
        self._waiting: set[Future[Any]] = set()

    def begin(self) -> None:
        """The request has come whole: from now on its time runs."""
        self._deadline = monotonic() + self._seconds

    def check(self) -> None:
        """Go on only if it is still worth it.

        Raises:
            ClientGone: the client has gone.
            DeadlineExceeded: the time is over.
        """
        if self._gone:
            raise ClientGone
        if self._late or monotonic() >= self._deadline:
            raise DeadlineExceeded(
                "The request's turn did not come in time; nothing was done.",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """In the block, work that waits for its turn is dropped when it is worth it no more."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def result_of(self, work: Future[T]) -> T:
        """Wait for the result of work that waits for its turn in a thread.

        Raises:
            ClientGone, DeadlineExceeded: it was dropped.
        """
        self._waiting.add(work)
        try:
            done = asyncio.wrap_future(work)
            await asyncio.wait([done])
        finally:
            self._waiting.discard(work)
            work.cancel()
        if done.cancelled():
            self.check()
        return done.result()

    async def _watch(self) -> None:
        if self._deadline == math.inf:
            return
        try:
            await asyncio.wait_for(self._until_gone(), self._deadline - monotonic())
            self._gone = True
        except TimeoutError:
            self._late = True
        for work in self._waiting:
            work.cancel()  # what has begun goes on


_patience: ContextVar[Patience | None] = ContextVar("patience", default=None)


@contextmanager
def patient(patience: Patience) -> Iterator[None]:
    """Have the block, which answers a request, work for no longer than its patience lasts."""
    before = _patience.set(patience)
    try:
        yield
    finally:
        _patience.reset(before)
        patience.answered = True


def present_patience() -> Patience | None:
    """Give the patience of the request that is being answered.

    None: it is no request that is worked for, but a job. One that a request has begun goes on with
    the request's context, and must not end with its deadline.
    """
    patience = _patience.get()
    return None if patience is None or patience.answered else patience
