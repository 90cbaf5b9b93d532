"""Notices within three seconds that the database can't be reached, and that it is back.

A server that was killed refuses connections; one that stands still, or a network that swallows
packets, leaves everybody waiting who has asked it something. So it is asked for nothing twice a
second, on a connection of its own. When it does not answer, all connections to it are cut: whoever
waits on one is told at once, as if the server had been killed. Nobody tries to connect until it
answers again: it does not come back to a crowd.
"""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from weakref import WeakSet

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.logs import get_logger

ASK_EVERY_S = 0.5
ANSWER_TIMEOUT_S = 2.0
"""A server that is written to hard stands still for a second now and then, and is not away."""
CONNECT_TIMEOUT_S = 2
"""The driver knows no shorter one."""
LATE_S = 0.25
"""A process that was itself stopped for longer than this can't blame the database."""

log = get_logger()


class DatabaseWatch:
    """Knows whether the database of an engine can be reached."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Believe that it can; `watching` finds out."""
        self.away = False
        self._connections: WeakSet[psycopg.AsyncConnection[tuple[object, ...]]] = WeakSet()
        event.listen(engine.sync_engine, "do_connect", self._refuse_while_away)
        event.listen(engine.sync_engine, "connect", self._take_note)

    @asynccontextmanager
    async def watching(self, address: str) -> AsyncIterator[None]:
        """Ask the database at `address` again and again while the block runs."""
        task = asyncio.create_task(self._watch(address))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _refuse_while_away(self, *_of_the_event: object) -> None:
        if self.away:
            raise psycopg.OperationalError("the database is away")

    def _take_note(self, connection: object, _record: object) -> None:
        self._connections.add(connection.driver_connection)  # type: ignore[attr-defined]

    async def _watch(self, address: str) -> None:
        line = _Line(address)
        try:
            while True:
                self._now_is(away=not await line.answers())
                # Not in step with other replicas, which an outage would bring into step.
                await asyncio.sleep(ASK_EVERY_S * random.uniform(0.8, 1.2))  # noqa: S311
        finally:
            await line.close()

    def _now_is(self, *, away: bool) -> None:
        if away and not self.away:
            log.error("database_away")
        elif self.away and not away:
            log.info("database_back")
        self.away = away
        if away:
            for connection in list(self._connections):
                _cut(connection)


class _Line:
    """One connection that is only asked whether anybody is there."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None

    async def answers(self) -> bool:
        """Ask; False if there is no answer in time, even on a new connection."""
        loop = asyncio.get_running_loop()
        while True:
            deadline = loop.time() + ANSWER_TIMEOUT_S
            asking = asyncio.create_task(self._ask())
            try:
                await asyncio.wait({asking}, timeout=ANSWER_TIMEOUT_S)
            except asyncio.CancelledError:
                await self._give_up(asking)
                raise
            late_s = loop.time() - deadline
            if asking.done():
                return asking.result()
            await self._give_up(asking)
            if late_s < LATE_S:
                return False

    async def _ask(self) -> bool:
        if self._connection is not None:
            try:
                await self._connection.execute("SELECT")
            except psycopg.Error:
                await self.close()  # the server may have been started again since
            else:
                return True
        try:
            self._connection = await psycopg.AsyncConnection.connect(self._address, autocommit=True)
        except psycopg.Error:
            # Too many clients, or another password: who says so is there. Its other connections,
            # which may be in order, are not to be cut.
            return await asyncio.to_thread(self._is_there)
        return True

    def _is_there(self) -> bool:
        """Whether a server answers, be it with a refusal; not one that is starting or ending."""
        once = make_conninfo(self._address, connect_timeout=CONNECT_TIMEOUT_S)
        return PGconn.ping(once.encode()) == Ping.OK

    async def _give_up(self, asking: "asyncio.Task[bool]") -> None:
        # In this order: the driver would try to tell a server that stands still of a cancellation.
        if self._connection is not None:
            _cut(self._connection)
            await asyncio.wait({asking}, timeout=LATE_S)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        await self.close()

    async def close(self) -> None:
        """Leave; the next question connects anew."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                await self._connection.close()
        self._connection = None


def _cut(connection: "psycopg.AsyncConnection[tuple[object, ...]]") -> None:
    """Have whoever waits for an answer on a connection see that there will be none."""
    with (
        suppress(psycopg.Error, OSError),
        # Another number for the same connection: the driver closes its own.
        socket.socket(fileno=os.dup(connection.fileno())) as same,
    ):
        same.shutdown(socket.SHUT_RDWR)
