"""Postgres: reachable, new enough, near enough, with the tables of this version."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

import psycopg
from alembic.script import ScriptDirectory
from sqlalchemy import make_url

import migrations
from app.doctor.clock import compare_clocks
from app.doctor.findings import Finding, failed, ok, warning
from app.embedded_postgres import EmbeddedPostgres
from app.settings import Settings

OLDEST_VERSION = 14
CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 10_000
SLOW_MS = 5.0
"""An enrolment asks some ten times."""
ASKED = 20
RESERVED_CONNECTIONS = 5
"""Beside the pool's, a process has some of its own, and so has whoever looks after Postgres."""

Connection = psycopg.Connection[tuple[object, ...]]


@contextmanager
def connected(settings: Settings) -> Iterator[Connection | None]:
    """Connect for reading only; None if the embedded Postgres was never started.

    An embedded one that does not run is started for the time of the block.

    Raises:
        psycopg.OperationalError: there is no connection to be had.
        EmbeddedPostgresError: the embedded Postgres does not start.
    """
    server: EmbeddedPostgres | None = None
    if settings.database_url is not None:
        url = make_url(settings.database_url.get_secret_value()).set(drivername="postgresql")
        address = url.render_as_string(hide_password=False)
    elif (settings.data_dir / "postgres" / "cluster").exists():
        server = EmbeddedPostgres.start(settings.data_dir / "postgres")
        address = server.url
    else:
        yield None
        return
    try:
        with psycopg.connect(
            address, connect_timeout=CONNECT_TIMEOUT_S, autocommit=True
        ) as connection:
            connection.execute("SET default_transaction_read_only = on")
            connection.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}".encode())
            yield connection
    finally:
        if server is not None:
            server.stop()


def look_at_server(settings: Settings, connection: Connection) -> Iterator[Finding]:
    """Version, latency, clock, connections."""
    version = connection.info.server_version // 10_000
    text = f"PostgreSQL {version}"
    if version < OLDEST_VERSION:
        yield failed("database", text, f"Cohort needs PostgreSQL {OLDEST_VERSION} or newer.")
    else:
        yield ok("database", text)
    latency_ms = _latency_ms(connection)
    if latency_ms > SLOW_MS:
        yield warning(
            "database",
            f"answers in {latency_ms:.1f} ms",
            "Have it nearer to the service: enrolments ask it some ten times each.",
        )
    else:
        yield ok("database", f"answers in {latency_ms:.1f} ms")
    yield compare_clocks("the database", lambda: _clock(connection))
    allowed = int(_value(connection, "SELECT current_setting('max_connections')"))
    needed = settings.database_pool_size + RESERVED_CONNECTIONS
    if allowed < needed:
        yield failed(
            "database",
            f"{allowed} connections are allowed; one service may take {needed}",
            "Raise max_connections, or lower COHORT_DATABASE_POOL_SIZE.",
        )


def look_at_tables(connection: Connection) -> Iterator[Finding]:
    """Are they those of this version?"""
    versions = ScriptDirectory(str(Path(migrations.__file__).parent))
    head = versions.get_current_head()
    try:
        current = _value(connection, "SELECT version_num FROM alembic_version")
    except psycopg.errors.UndefinedTable:
        yield warning("migrations", "the database is empty", "The first start makes the tables.")
        return
    if current == head:
        yield ok("migrations", f"the tables are those of this version ({head})")
    elif current in {each.revision for each in versions.walk_revisions()}:
        yield warning(
            "migrations",
            f"the tables are of an older version ({current})",
            "The next start of a service brings them up to date; make a backup first.",
        )
    else:
        yield failed(
            "migrations",
            f"the tables are of another version of Cohort ({current})",
            "Run that version or a newer one; there is no way back to an older one.",
        )


def _latency_ms(connection: Connection) -> float:
    durations = []
    for _ in range(ASKED):
        start = perf_counter()
        connection.execute("SELECT 1")
        durations.append(perf_counter() - start)
    return median(durations) * 1e3


def _clock(connection: Connection) -> float:
    return float(_value(connection, "SELECT extract(epoch FROM clock_timestamp())"))


def _value(connection: Connection, query: str) -> str:
    row = connection.execute(query.encode()).fetchone()
    return "" if row is None else str(row[0])
