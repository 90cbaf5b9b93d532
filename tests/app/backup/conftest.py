"""A service with subjects and a bundle, and an empty database beside it."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, make_url

from app.embedded_postgres import EmbeddedPostgres
from tests.app.bundles.conftest import publish, services, subjects

__all__ = ["publish", "services", "subjects"]


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[URL]:
    """A database without any table."""
    name = sql.Identifier("restored")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        yield make_url(postgres.url).set(drivername="postgresql+psycopg", database="restored")
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def address_of(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
