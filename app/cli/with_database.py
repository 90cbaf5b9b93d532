"""Work on the database itself, for commands that need no service."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from app.cli.configuration import load_settings

if TYPE_CHECKING:
    from app.database import Database

Result = TypeVar("Result")


def with_database(work: Callable[["Database"], Awaitable[Result]]) -> Result:
    """Open the database that the settings name, and give what the work on it gives.

    Raises:
        Failure: a setting is not valid, or the database can't be used.
    """
    from app.cli.start_errors import start_errors_as_failures
    from app.database import opened_database
    from app.logs import configure_logs

    settings = load_settings()
    configure_logs("WARNING")

    async def run() -> Result:
        async with opened_database(settings) as database:
            return await work(database)

    with start_errors_as_failures():
        return asyncio.run(run())
