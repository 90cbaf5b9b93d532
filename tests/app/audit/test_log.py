"""The log with a Postgres of its own, which is stopped, frozen and started again."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

import psutil
import psycopg
import pytest
from sqlalchemy import make_url

from app.audit import log as module
from app.audit.entry import Entry
from app.audit.log import AuditLog, opened_audit
from app.audit.spool import Spool
from app.database import Database
from app.embedded_postgres import EmbeddedPostgres
from app.logs import configure_logs
from app.migrate import migrate
from app.problems import AuditUnavailable


def entry(**fields: Any) -> Entry:
    told: dict[str, Any] = {
        "request_id": "r-1",
        "key_id": "1a2b3c4d",
        "action": "identify",
        "collection_id": uuid4(),
        "subject_ids": (uuid4(), uuid4()),
        "outcome": "match",
        "status": 200,
        "address": "10.0.0.1",
    }
    return Entry(**told | fields)


class OwnPostgres:
    """A server that nobody else needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = EmbeddedPostgres.start(folder)
        self.address = self._server.url
        self.url = make_url(self.address).set(drivername="postgresql+psycopg")

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self._server.stop()
        try:
            yield
        finally:
            self._server = EmbeddedPostgres.start(self.folder)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have every process of it stand still."""
        pid = int((self.folder / "cluster" / "postmaster.pid").read_text().split()[0])
        processes = [psutil.Process(pid)]
        try:
            processes[0].suspend()  # no more children come
            processes += processes[0].children(recursive=True)
            for process in processes[1:]:
                with suppress(psutil.NoSuchProcess):
                    process.suspend()
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def rows(self, query: str) -> list[Any]:
        with psycopg.connect(self.address) as connection:
            return connection.execute(query.encode()).fetchall()

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture(scope="module")
def started() -> Iterator[OwnPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="cohort-audit-"))
    server = OwnPostgres(folder)
    migrate(server.url)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def server(started: OwnPostgres) -> OwnPostgres:
    with psycopg.connect(started.address) as connection:
        connection.execute("TRUNCATE audit")
    return started


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logs("INFO")
    monkeypatch.setattr(module, "RETRY_S", 0.05)


@asynccontextmanager
async def opened(server: OwnPostgres, folder: Path) -> AsyncIterator[AuditLog]:
    database = Database.connect(server.url, pool_size=1)
    async with opened_audit(database, folder) as audit:
        yield audit
    await database.close()


def stored(server: OwnPostgres) -> list[UUID]:
    return [row[0] for row in server.rows("SELECT id FROM audit ORDER BY at")]


async def until_stored(server: OwnPostgres, entries: list[Entry]) -> None:
    async with asyncio.timeout(20):
        while await asyncio.to_thread(stored, server) != [each.id for each in entries]:
            await asyncio.sleep(0.05)


async def test_an_entry_is_stored_as_it_was_given(server: OwnPostgres, tmp_path: Path) -> None:
    full, empty = entry(), entry(key_id=None, collection_id=None, subject_ids=(), address=None)
    async with opened(server, tmp_path) as audit:
        await audit.write(full)
        await audit.write(empty)
    rows = server.rows(
        "SELECT request_id, key_id, action, collection_id, subject_ids, outcome, status, address,"
        " id, at FROM audit ORDER BY at"
    )
    for row, given in zip(rows, (full, empty), strict=True):
        shown = list(row)
        shown[4] = tuple(shown[4])
        assert Entry(*shown) == given


async def test_many_entries_share_a_transaction(server: OwnPostgres, tmp_path: Path) -> None:
    entries = [entry() for _ in range(200)]
    async with opened(server, tmp_path) as audit:
        await asyncio.gather(*(audit.write(each) for each in entries))
    ((count, transactions),) = server.rows("SELECT count(*), count(DISTINCT xmin::text) FROM audit")
    assert count == 200
    assert transactions <= 2


async def test_without_the_database_entries_wait_in_the_spool(
    server: OwnPostgres, tmp_path: Path
) -> None:
    before, during, after = entry(), entry(), entry()
    async with opened(server, tmp_path / "audit") as audit:
        await audit.write(before)
        with server.stopped():
            await audit.write(during)
            await audit.write(during)
            # Each try to bring them home begins another file.
            waiting = [file.read_bytes() for file in audit.spool.files()]
            assert b"".join(waiting) == during.line() * 2
        await audit.write(after)
        await until_stored(server, [before, during, after])
        last = await first_past_the_spool(audit)
    assert stored(server)[-1] == last.id


async def first_past_the_spool(audit: AuditLog) -> Entry:
    """Write entries until one goes to the table at once, as they do when all is brought home."""
    async with asyncio.timeout(20):
        while True:
            await audit.write(last := entry())
            if not audit.spool.files():
                return last
            await asyncio.sleep(0.05)


async def test_the_spool_outlasts_the_process(server: OwnPostgres, tmp_path: Path) -> None:
    with server.stopped():
        async with opened(server, tmp_path) as audit:
            first = entry()
            await audit.write(first)
    # As one that was killed after its insert and before it could delete the file.
    again = Spool(tmp_path)
    again.append([first])
    again.close()
    assert len(again.files()) == 2
    async with opened(server, tmp_path) as audit:
        await until_stored(server, [first])
        async with asyncio.timeout(10):
            while audit.spool.files():
                await asyncio.sleep(0.05)
    assert stored(server) == [first.id]


async def test_a_database_that_stands_still_holds_nobody_up_twice(
    server: OwnPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [entry() for _ in range(3)]
    waited_for: list[str] = []

    def is_noted(method: str, owner: object) -> None:
        do = getattr(owner, method)

        def noted(*arguments: Any) -> Any:
            waited_for.append(method)
            return do(*arguments)

        monkeypatch.setattr(owner, method, noted)

    def is_inserting() -> bool:
        return any("_commit" in str(task.get_coro()) for task in asyncio.all_tasks())

    async with opened(server, tmp_path) as audit:
        await audit.write(entries[0])
        monkeypatch.setattr(module, "COMMIT_TIMEOUT_S", 0.5)
        # Only calls bring something to the table, not the task that brings home what was spooled.
        monkeypatch.setattr(module, "RETRY_S", 600)
        await asyncio.sleep(0.1)
        is_noted("_commit", audit)
        is_noted("append", audit.spool)
        with server.frozen():
            begun = perf_counter()
            await audit.write(entries[1])
            assert perf_counter() - begun >= 0.4
            assert is_inserting()  # nobody waits until the driver gives it up
            await audit.write(entries[2])
        assert waited_for == ["_commit", "append", "append"]
    async with opened(server, tmp_path):
        await until_stored(server, entries)


async def test_without_database_and_disk_nobody_is_told_that_it_was_entered(
    server: OwnPostgres, tmp_path: Path
) -> None:
    (tmp_path / "audit").write_text("in the way")
    async with opened(server, tmp_path / "audit") as audit:
        with server.stopped(), pytest.raises(AuditUnavailable):
            await audit.write(entry())


async def test_what_came_is_written_before_the_end(server: OwnPostgres, tmp_path: Path) -> None:
    async with opened(server, tmp_path) as audit:
        audit.write(given := entry())
    assert stored(server) == [given.id]


@pytest.mark.parametrize("statement", ["UPDATE audit SET outcome = 'x'", "DELETE FROM audit"])
async def test_the_table_only_grows(server: OwnPostgres, tmp_path: Path, statement: str) -> None:
    async with opened(server, tmp_path) as audit:
        await audit.write(entry())
    with pytest.raises(psycopg.errors.RaiseException, match="only grows"):
        server.rows(statement)
