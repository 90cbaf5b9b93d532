"""The connection to Postgres: one engine a service, explicit transactions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Self

from sqlalchemy import URL, ColumnElement, event, exc, func, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from app.announcements import Announcement, announcements_of
from app.embedded_postgres import EmbeddedPostgres
from app.migrate import migrate
from app.outage import DatabaseWatch
from app.settings import Settings

CONNECT_TIMEOUT_S = 2
"""Unless the URL says another. The driver knows no shorter one."""
POOL_TIMEOUT_S = 5.0
"""How long a transaction waits for a connection while others have them all."""

NOTICE_LOSS = (
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"
)
"""Has the server end a connection whose machine is gone within seconds, and what it has locked with
it. For connections that hold locks and say nothing: the kernel would keep them for hours."""

HELD_AT_MOST = "5s"
"""Whoever says nothing for so long is thrown out, where others wait for it."""

before_commit: ContextVar[Callable[[AsyncSession], Awaitable[None]] | None] = ContextVar(
    "before_commit", default=None
)
"""What the transactions of the present request do last, so that it is committed with them."""


def held_at_most() -> ColumnElement[str]:
    """Make a column for a statement that locks a row which others wait for.

    Should this process stand still from then on, Postgres ends its transaction after
    `HELD_AT_MOST`; it is told so by an OperationalError when it goes on.
    """
    return func.set_config("idle_in_transaction_session_timeout", HELD_AT_MOST, True)


class Database:
    """Opens transactions; whoever opens one sees its commit happen before going on."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._watch = DatabaseWatch(engine)
        event.listen(engine.sync_engine, "handle_error", _say_that_it_is_lost)
        self.announce: Callable[[Announcement], None] = lambda _: None
        """Called for each change that was committed; must return at once."""
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    @classmethod
    def connect(cls, url: URL, *, pool_size: int, name: str = "") -> Self:
        """Make the engine; connections are opened when they are first needed, by that name."""
        return cls(
            create_async_engine(
                url,
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=POOL_TIMEOUT_S,
                connect_args={
                    "connect_timeout": CONNECT_TIMEOUT_S,
                    **url.query,
                    # Over what the URL says: app/embedders/presence.py reads it.
                    **({"application_name": name} if name else {}),
                },
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
            if (last := before_commit.get()) is not None:
                await last(session)
        for announcement in announcements_of(session):
            self.announce(announcement)

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

    @property
    def is_away(self) -> bool:
        """Whether the database is known to be out of reach; False where nobody `watches` it."""
        return self._watch.away

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Find out within three seconds, while the block runs, that the database is away.

        Then what waits for it fails at once, and so does every transaction until it is back, with
        SQLAlchemy's OperationalError.
        """
        async with self._watch.watching(self.address):
            yield

    def forget_statements(self) -> None:
        """Forget the compiled statements, each of which has the values that it was first used with.

        Such as an external id that somebody looked for. They are compiled again when needed.
        """
        self._engine.clear_compiled_cache()

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def _say_that_it_is_lost(context: ExceptionContext) -> None:
    # Of a transaction that has stood still Postgres says "internal error"; who goes by the class
    # takes that for a mistake of ours, rather than for a connection that is to be made anew.
    if context.is_disconnect and isinstance(context.sqlalchemy_exception, exc.InternalError):
        raise exc.OperationalError(
            None, None, context.original_exception, connection_invalidated=True
        )


@asynccontextmanager
async def opened_database(settings: Settings, *, name: str = "") -> AsyncIterator[Database]:
    """Open the database that the settings name, start it if it is embedded, and migrate it.

    Args:
        settings: of this process.
        name: of its connections, as Postgres shows them.

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
        database = Database.connect(url, pool_size=settings.database_pool_size, name=name)
        try:
            async with database.watched():
                yield database
        finally:
            await database.close()
    finally:
        if postgres is not None:
            await asyncio.to_thread(postgres.stop)
