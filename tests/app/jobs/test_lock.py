"""What becomes of a lock whose holder is lost with its whole machine."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from psycopg import AsyncConnection

from app.jobs.lock import _connected
from app.retention.repository import purge_lock
from benchmarks.servers import Postgres


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """Reached over TCP; not under pytest's folder, whose rights pytest itself resets."""
    with TemporaryDirectory(prefix="cohort-tests-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder) / "postgres")
        server.start()
        yield server
        server.stop()


async def test_the_server_notices_soon_that_a_holder_is_gone(own_postgres: Postgres) -> None:
    async with (
        _connected(own_postgres.url) as of_a_job,
        purge_lock(own_postgres.url, wait=False) as of_a_purge,
    ):
        assert of_a_purge is not None
        assert 0 < await noticed_after_s(of_a_job) <= 15
        assert 0 < await noticed_after_s(of_a_purge) <= 15


async def noticed_after_s(connection: AsyncConnection[tuple[object, ...]]) -> int:
    """For how long the server goes on with a connection whose other end is silent."""
    found = await connection.execute(
        "SELECT name, setting::int FROM pg_settings WHERE name LIKE 'tcp_keepalives_%'"
    )
    seconds: dict[object, int] = dict(await found.fetchall())  # type: ignore[arg-type]
    return (
        seconds["tcp_keepalives_idle"]
        + seconds["tcp_keepalives_interval"] * seconds["tcp_keepalives_count"]
    )
