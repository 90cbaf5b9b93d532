"""Writes entries so that they last: many in one transaction, or into the spool.

A call waits for its entry before its answer leaves. One task writes for all: what comes while a
transaction commits goes into the next one, so that a hundred calls a second cost some commits, and
a lone one is not delayed.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from app.audit import repository
from app.audit.entry import Entry
from app.audit.spool import Spool, SpoolFile
from app.database import Database
from app.logs import describe_error, get_logger
from app.problems import AuditUnavailable
from app.tasks import take_notice

MOST_AT_ONCE = 500
COMMIT_TIMEOUT_S = 2.0
"""A database that takes longer counts as away."""
RETRY_S = 1.0
"""Between two attempts to bring home what the spool holds."""

log = get_logger()


class AuditLog:
    """The log's writing end in one process."""

    def __init__(self, database: Database, spool: Spool) -> None:
        """Write to a database, on connections that nobody else takes, or else to the spool."""
        self._database = database
        self.spool = spool
        self._waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self._came = asyncio.Event()
        self._away = False
        self._closing = False

    def write(self, entry: Entry) -> "asyncio.Future[None]":
        """Have an entry written; whoever awaits the future goes on when it is durable.

        The future raises AuditUnavailable if the entry is neither in the table nor in the spool.
        """
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        durable.add_done_callback(take_notice)
        self._waiting.append((entry, durable))
        self._came.set()
        return durable

    async def run(self) -> None:
        """Write what comes, until `close`."""
        while not self._closing or self._waiting:
            await self._came.wait()
            if not self._closing:
                self._came.clear()
            while self._waiting:
                await self._write_some()

    def close(self) -> None:
        """Have `run` end when it has written what has come."""
        self._closing = True
        self._came.set()

    async def _write_some(self) -> None:
        batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        failed: Exception | None = None
        try:
            await self._store([entry for entry, _ in batch])
        except Exception as error:  # noqa: BLE001  (nobody else would answer those who wait)
            failed = error
        for _, durable in batch:
            if durable.done():  # whoever asked has gone
                continue
            if failed is None:
                durable.set_result(None)
            else:
                durable.set_exception(
                    AuditUnavailable(
                        "The call can't be entered in the audit log; try again shortly.",
                        headers={"Retry-After": "1"},
                    )
                )
        if failed is not None:
            log.error("audit_not_written", entries=len(batch), **describe_error(failed))

    async def _store(self, entries: Sequence[Entry]) -> None:
        if not self._away:
            try:
                await self._commit([each.document() for each in entries])
                return
            except (SQLAlchemyError, OSError) as error:
                # It may have been committed all the same: the entries' ids tell.
                log.error("audit_spooled", **describe_error(error))
                self._away = True
        await asyncio.to_thread(self.spool.append, entries)

    async def _commit(self, documents: Sequence[dict[str, Any]]) -> None:
        async def insert() -> None:
            async with self._database.transaction() as session:
                await repository.insert(session, documents)

        # The driver takes its time to give up a connection to a server that stands still. Nobody
        # waits for that.
        task = asyncio.create_task(insert())
        task.add_done_callback(take_notice)
        done, _ = await asyncio.wait({task}, timeout=COMMIT_TIMEOUT_S)
        if not done:
            task.cancel()
            raise TimeoutError("the database did not commit in time")
        task.result()

    async def bring_home(self) -> None:
        """Put what the spool holds into the table.

        Raises:
            SQLAlchemyError, OSError: the database is away; what is left waits on.
        """
        await asyncio.to_thread(self.spool.close)
        for path in await asyncio.to_thread(self.spool.files):
            file = await asyncio.to_thread(SpoolFile.take, path)
            if file is not None:
                await self._bring_home(file)
        self._away = False

    async def _bring_home(self, file: SpoolFile) -> None:
        count = 0
        try:
            while documents := await asyncio.to_thread(file.next_documents):
                await self._commit(documents)
                count += len(documents)
            await asyncio.to_thread(file.remove)
        finally:
            await asyncio.to_thread(file.close)
        log.info("audit_brought_home", entries=count)

    async def keep_bringing_home(self) -> None:
        """Call `bring_home` whenever there may be something to bring."""
        while True:
            waiting = await asyncio.to_thread(self.spool.files)
            if self._away or waiting:
                with suppress(SQLAlchemyError, OSError):
                    await self.bring_home()
            await asyncio.sleep(RETRY_S)


@asynccontextmanager
async def opened_audit(database: Database, folder: Path) -> AsyncIterator[AuditLog]:
    """Open the log; in the end, what has come is written.

    Args:
        database: that has the table.
        folder: of the spool.
    """
    # Of its own, so that no call waits for its entry behind others that hold all connections.
    url = make_url(database.address).set(drivername="postgresql+psycopg")
    own = Database.connect(url, pool_size=1)
    audit = AuditLog(own, Spool(folder))
    writing = asyncio.create_task(audit.run())
    bringing = asyncio.create_task(audit.keep_bringing_home())
    try:
        yield audit
    finally:
        bringing.cancel()
        await asyncio.gather(bringing, return_exceptions=True)
        audit.close()
        await writing
        await asyncio.to_thread(audit.spool.close)
        await own.close()
