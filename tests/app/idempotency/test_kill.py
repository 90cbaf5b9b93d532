"""SIGKILL at the worst moments: an enrolment that is sent again makes one subject."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from app.idempotency.claim import LEASE_S
from benchmarks.processes import free_port
from tests.app.test_durability import Service

Picture = Callable[[str], bytes]
Rows = Callable[[], dict[str, int]]

pytestmark = pytest.mark.slow

BEFORE_COMMIT = ("changes", "INSERT", "true")
BEFORE_ANSWER = ("idempotency", "UPDATE", "NEW.claim IS NULL")


@pytest.fixture
def service(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    monkeypatch.setenv("COHORT_DATABASE_URL", database_url)
    service = Service(tmp_path / "var", free_port())
    yield service
    if service.process is not None and service.process.poll() is None:
        service.end(signal.SIGTERM)


def stand_still(database_url: str, table: str, operation: str, condition: str) -> None:
    """Have the database take forever for what is done to a table."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "CREATE FUNCTION stand_still() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$"
        )
        connection.execute(
            f"CREATE TRIGGER stand_still BEFORE {operation} ON {table}"
            f" FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION stand_still()"
        )


def standing_still(connection: psycopg.Connection[tuple[int, ...]]) -> list[int]:
    found = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    ).fetchall()
    return [pid for (pid,) in found]


def go_on(database_url: str) -> None:
    """As when the connections of a dead process are closed."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for pid in standing_still(connection):
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        connection.execute("DROP FUNCTION stand_still CASCADE")


def enrol(client: httpx.Client, picture: bytes) -> httpx.Response:
    return client.post("/enroll", files={"images": picture}, headers={"Idempotency-Key": "the-one"})


@pytest.mark.parametrize("moment", [BEFORE_COMMIT, BEFORE_ANSWER], ids=["commit", "answer"])
def test_killed_before(
    moment: tuple[str, str, str],
    service: Service,
    database_url: str,
    picture: Picture,
    rows: Rows,
) -> None:
    with service.start() as client, ThreadPoolExecutor(1) as pool:
        stand_still(database_url, *moment)
        first = pool.submit(enrol, client, picture("biden"))
        deadline = time.monotonic() + 10
        with psycopg.connect(database_url, autocommit=True) as connection:
            while not standing_still(connection):
                assert time.monotonic() < deadline
                time.sleep(0.05)
        service.end(signal.SIGKILL)
        assert isinstance(first.exception(), httpx.TransportError)
    go_on(database_url)
    assert rows()["subjects"] == (0 if moment == BEFORE_COMMIT else 1)

    with service.start() as client:
        deadline = time.monotonic() + LEASE_S + 5
        while (again := enrol(client, picture("biden"))).status_code == 409:
            assert again.json()["code"] == "request_in_progress"
            assert time.monotonic() < deadline
            time.sleep(float(again.headers["Retry-After"]) / 4)
    assert again.status_code == 201
    assert ("Idempotency-Replayed" in again.headers) == (moment == BEFORE_ANSWER)
    assert len(again.json()["accepted"]) == 1
    assert rows()["subjects"] == rows()["samples"] == 1
