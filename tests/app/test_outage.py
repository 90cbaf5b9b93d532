"""A Postgres that is killed, and one that stands still: noticed soon, and got over."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from app.database import Database
from app.logs import configure_logs
from app.outage import ANSWER_TIMEOUT_S, ASK_EVERY_S, LATE_S
from benchmarks.servers import Postgres

SOON_S = 20.0
"""What a busy machine may add. Without the watch it would take minutes, or for ever."""


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """Not under pytest's folder, whose rights pytest itself resets."""
    with TemporaryDirectory(prefix="cohort-tests-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder) / "postgres")
        server.start()
        yield server
        server.process.thaw()
        server.stop()


@pytest.fixture
async def database(
    own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    monkeypatch.setattr("app.database.POOL_TIMEOUT_S", 60.0)  # it's not the pool that gives up
    url = make_url(own_postgres.url).set(drivername="postgresql+psycopg")
    database = Database.connect(url, pool_size=2)
    async with database.watched():
        yield database
    await database.close()


def test_what_it_waits_for_adds_up_to_less_than_three_seconds() -> None:
    # The longest pause, a question, and the time in which a new connection is tried.
    assert 1.2 * ASK_EVERY_S + ANSWER_TIMEOUT_S + LATE_S < 3


async def becomes(database: Database, *, away: bool) -> None:
    async with asyncio.timeout(SOON_S):
        while database.is_away is not away:
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_who_waits_for_a_server_that_stands_still_is_told_soon(
    database: Database, own_postgres: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("INFO")  # to the stream that is captured
    inside = asyncio.Event()

    async def stay() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT"))
            inside.set()
            await asyncio.sleep(0.1)
            await session.execute(text("SELECT"))

    async def come() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT"))

    await come()
    staying = asyncio.create_task(stay())
    await inside.wait()
    own_postgres.process.freeze()
    # One has a connection, one finds a free one, and one waits for its turn.
    async with asyncio.timeout(SOON_S):
        ended = await asyncio.gather(staying, come(), come(), return_exceptions=True)
    assert [type(each) for each in ended] == [OperationalError] * 3
    assert database.is_away
    # At once, without trying to connect.
    with pytest.raises(OperationalError, match="the database is away"):
        await come()

    own_postgres.process.thaw()
    await becomes(database, away=False)
    await come()
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events == ["database_away", "database_back"]


@pytest.mark.slow
async def test_a_killed_server_is_found_again_when_it_is_back(
    database: Database, own_postgres: Postgres
) -> None:
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE kept (id int)"))
    own_postgres.process.kill()
    await becomes(database, away=True)
    with pytest.raises(OperationalError):
        await database.ping()
    await asyncio.to_thread(own_postgres.start)
    await becomes(database, away=False)
    async with database.transaction() as session:
        await session.execute(text("SELECT FROM kept"))


@pytest.mark.slow
async def test_a_restart_between_two_questions_is_no_outage(
    database: Database,
    own_postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("INFO")  # to the stream that is captured
    monkeypatch.setattr("app.outage.ASK_EVERY_S", 4.0)
    await asyncio.sleep(1)  # the last question at the old pace
    own_postgres.process.kill()
    await asyncio.to_thread(own_postgres.start)
    await asyncio.sleep(5)
    await database.ping()
    assert "database_away" not in capsys.readouterr().err


@pytest.mark.slow
async def test_a_process_that_stood_still_itself_does_not_blame_the_database(
    database: Database, own_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.outage.ANSWER_TIMEOUT_S", 1.0)
    loop = asyncio.get_running_loop()
    for _ in range(5):
        # As a SIGSTOP does: time passes, and nothing is done in it.
        loop.call_soon(lambda: time.sleep(1.4))
        await asyncio.sleep(0.05)
        assert not database.is_away


@pytest.mark.slow
async def test_a_server_that_refuses_is_not_away_and_healthy_connections_are_kept(
    database: Database, own_postgres: Postgres
) -> None:
    all_others = """
        SELECT pid FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
    """
    cut_all_others = all_others.replace("SELECT pid", "SELECT pg_terminate_backend(pid)")
    async with asyncio.timeout(SOON_S), database.transaction() as session:
        # The one that is asked has come in, with the password that there was.
        while not (await session.execute(text(all_others))).all():
            await asyncio.sleep(0.05)
    async with database.transaction() as session:
        await session.execute(text("ALTER ROLE postgres PASSWORD 'another'"))
    async with database.transaction() as session:
        assert (await session.execute(text(cut_all_others))).all()  # the one that is asked
        await asyncio.sleep(2 * ASK_EVERY_S + 0.5)
        assert not database.is_away
        await session.execute(text("SELECT"))


async def test_nobody_watches_where_nobody_asked_for_it() -> None:
    url = make_url("postgresql+psycopg://u@127.0.0.1:1/none")
    database = Database.connect(url, pool_size=1)
    with pytest.raises(OperationalError):
        await database.ping()
    assert not database.is_away
    await database.close()
