"""What an operator reads when database or models do not start."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from app.cli.output import Failure
from app.cli.start_errors import start_errors_as_failures
from app.embedded_postgres import EmbeddedPostgres
from app.migrate import migrate
from models.runtime import open_session
from vault.master import unwrap, wrap
from vault.vault import KEY_BYTES, Vault


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[URL]:
    """A database without tables, and a role that may make none."""
    name = sql.Identifier("start_errors")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'secret'")
        yield make_url(postgres.url).set(drivername="postgresql+psycopg", database="start_errors")
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        connection.execute("DROP ROLE guest")


def sentence_of(url: URL) -> str:
    with pytest.raises(Failure) as caught, start_errors_as_failures():
        migrate(url)
    said = f"{caught.value.sentence} {caught.value.hint}"
    assert "\n" not in said
    assert "secret" not in said
    return said


def test_a_role_that_may_make_no_tables(empty_database: URL) -> None:
    said = sentence_of(empty_database.set(username="guest", password="secret"))
    assert "permission denied for schema public" in said
    assert "must be allowed to create tables" in said


def test_tables_of_a_newer_version(empty_database: URL) -> None:
    migrate(empty_database)
    address = empty_database.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "another version of Cohort: Can't locate revision identified by '9999'" in sentence_of(
        empty_database
    )


@pytest.mark.parametrize(
    "address",
    [
        "u:secret@127.0.0.1:1/d",
        "u:secret@127.0.0.1:99999/d",
        "u:secret@nowhere.invalid/d",
        "u:secret@127.0.0.1/d?abacus=1",
    ],
)
def test_an_address_that_leads_nowhere(address: str) -> None:
    assert "The database can't be used: " in sentence_of(
        make_url(f"postgresql+psycopg://{address}")
    )


def test_a_key_that_is_not_the_databases() -> None:
    wrapped = wrap(bytes(KEY_BYTES), 1, bytes(KEY_BYTES))
    said = "can't start: the encryption key is not"
    with pytest.raises(Failure, match=said) as caught, start_errors_as_failures():
        unwrap(b"\1" * KEY_BYTES, 1, wrapped)
    assert "Every service on one database needs the same key" in caught.value.hint


def test_identification_ids_without_their_key() -> None:
    said = "ids can't be opened: it is not sealed"
    with pytest.raises(Failure, match=said) as caught, start_errors_as_failures():
        Vault({1: bytes(KEY_BYTES)}).open(b"", purpose="secret", owner=UUID(int=0))
    assert "Without the row `identification`" in caught.value.hint


def test_a_file_that_is_no_net(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"garbage")
    with pytest.raises(Failure, match="can't open it as a net"), start_errors_as_failures():
        open_session(tmp_path / "net.onnx")


def test_a_bug_in_a_statement_stays_one(postgres: EmbeddedPostgres) -> None:
    engine = create_engine(make_url(postgres.url).set(drivername="postgresql+psycopg"))
    with (
        pytest.raises(ProgrammingError),
        start_errors_as_failures(),
        engine.connect() as connection,
    ):
        connection.execute(text("SELECT nothing FROM nowhere"))
    engine.dispose()
