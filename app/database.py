"""The connection to Postgres: one engine a service, explicit transactions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from app.embedded_postgres import EmbeddedPostgres
from app.migrate import migrate
from app.settings import Settings


class Database:
    """Opens transactions; whoever opens one sees its commit happen before going on."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @classmethod
    def connect(cls, url: URL, *, pool_size: int) -> Self:
        """Make the engine; connections are opened when they are first needed."""
        return cls(
            create_async_engine(
                url,
                pool_size=pool_size,
                max_overflow=0,
                pool_pre_ping=True,  # a restarted Postgres costs no failed request
                hide_parameters=True,  # an error's message must not quote a name or a template
            )
        )

    @property
    def address(self) -> str:
        """`postgresql://...`, with its password: for a connection that is none of the pool's."""
        url = self._engine.url.set(drivername="postgresql")
        return url.render_as_string(hide_password=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Run the block in a transaction: committed at its end, rolled back if it raises."""
        async with self._sessions.begin() as session:
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """Run the block on one unchanging view of the data, for reading only."""
        async with self._sessions.begin() as session:
            await session.execute(
                text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            )
            yield session

    async def ping(self) -> None:
        """Ask the database for nothing; raises SQLAlchemy's OperationalError if it is away."""
        async with self._sessions.begin() as session:
            await session.execute(text("SELECT"))

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[Database]:
    """Open the database that the settings name, start it if it is embedded, and migrate it.

    Raises:
        EmbeddedPostgresError: the embedded Postgres is not installed or does not start.
    """
    postgres: EmbeddedPostgres | None = None
    if settings.database_url is None:
        postgres = await asyncio.to_thread(EmbeddedPostgres.start, settings.data_dir / "postgres")
        address = postgres.url
    else:
        address = settings.database_url.get_secret_value()
    try:
        url = make_url(address).set(drivername="postgresql+psycopg")
        await asyncio.to_thread(migrate, url)
        database = Database.connect(url, pool_size=settings.database_pool_size)
        try:
            yield database
        finally:
            await database.close()
    finally:
        if postgres is not None:
            await asyncio.to_thread(postgres.stop)
