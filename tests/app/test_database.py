import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, make_url, select, text
from sqlalchemy.exc import InternalError, OperationalError

from app import database as module
from app.database import Database, held_at_most
from app.edge.context import unexpected_problem
from app.problems import DatabaseUnavailable
from app.tables import CollectionRow


def row(name: str) -> CollectionRow:
    return CollectionRow(name=name, embedder_name="e", embedder_sha256="0")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    database = Database.connect(url, pool_size=2)
    yield database
    await database.close()


async def count(database: Database) -> int:
    async with database.transaction() as session:
        return await session.scalar(select(func.count()).select_from(CollectionRow)) or 0


async def test_a_transaction_is_committed_at_its_end_and_rolled_back_by_an_error(
    database: Database,
) -> None:
    async with database.transaction() as session:
        session.add(row("kept"))

    async def fail() -> None:
        async with database.transaction() as session:
            session.add(row("lost"))
            await session.flush()
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await count(database) == 1


async def test_a_snapshot_does_not_see_later_commits_and_writes_nothing(
    database: Database,
) -> None:
    async with database.snapshot() as session:
        counted = select(func.count()).select_from(CollectionRow)
        assert await session.scalar(counted) == 0
        async with database.transaction() as other:
            other.add(row("later"))
        assert await session.scalar(counted) == 0
    with pytest.raises(InternalError, match="read-only transaction"):
        async with database.snapshot() as session:
            session.add(row("never"))
    assert await count(database) == 1


async def test_errors_do_not_quote_what_was_sent(database: Database) -> None:
    with pytest.raises(Exception, match="parameters hidden") as caught:
        async with database.transaction() as session:
            await session.execute(text("SELECT * FROM nowhere WHERE name = :n"), {"n": "Obama"})
    assert "Obama" not in str(caught.value)


async def test_whoever_stood_still_for_too_long_is_told_that_the_connection_is_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD_AT_MOST", "50ms")

    async def stand_still() -> None:
        async with database.transaction() as session:
            session.add(row("lost"))
            await session.execute(select(held_at_most()))
            await asyncio.sleep(0.5)

    with pytest.raises(OperationalError, match="idle-in-transaction") as caught:
        await stand_still()
    assert caught.value.connection_invalidated
    assert isinstance(unexpected_problem(caught.value), DatabaseUnavailable)
    assert await count(database) == 0


async def test_ping_fails_where_there_is_no_database() -> None:
    database = Database.connect(make_url("postgresql+psycopg://u@127.0.0.1:1/none"), pool_size=1)
    with pytest.raises(OperationalError):
        await database.ping()
    await database.close()
