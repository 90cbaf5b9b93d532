from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic import command
from psycopg import sql
from sqlalchemy import URL, NullPool, create_engine, make_url, text

from app.embedded_postgres import EmbeddedPostgres
from app.migrate import migrate, migration_config
from app.tables import Table


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[URL]:
    """A database without any table."""
    name = sql.Identifier("migrations")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        yield make_url(postgres.url).set(drivername="postgresql+psycopg", database="migrations")
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def tables(url: URL) -> set[str]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return set(
            connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        )


def test_the_migrations_make_exactly_the_tables_of_the_code(empty_database: URL) -> None:
    migrate(empty_database)

    with create_engine(empty_database, poolclass=NullPool).begin() as connection:
        command.check(migration_config(connection))
    assert tables(empty_database) == {*Table.metadata.tables, "alembic_version"}


def test_several_replicas_can_start_at_once_and_again(empty_database: URL) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [empty_database] * 4))
    migrate(empty_database)
    assert len(tables(empty_database)) > 1


def test_the_migrations_can_be_taken_back(empty_database: URL) -> None:
    migrate(empty_database)
    with create_engine(empty_database, poolclass=NullPool).begin() as connection:
        command.downgrade(migration_config(connection), "base")
    assert tables(empty_database) == {"alembic_version"}
