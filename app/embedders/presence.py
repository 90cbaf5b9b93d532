"""Which embedders the services run that are connected to a database: their connections tell.

Nobody keeps a list of replicas; but Postgres knows who is connected, and by what name.
"""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from models.zoo import EmbedderId

_PREFIX = "cohort:"
_DIGITS = 7
"""Of an embedder's SHA-256: seven embedders fit into the 63 characters that Postgres keeps."""


def connection_name(embedders: Iterable[EmbedderId]) -> str:
    """Name the connections of a process that runs these embedders."""
    return _PREFIX + ",".join(_shortened(each) for each in embedders)


async def count_without(session: AsyncSession, embedder: EmbedderId) -> int:
    """Count the connections of services and workers that do not run an embedder."""
    names = await session.scalars(
        text(
            "SELECT application_name FROM pg_stat_activity"
            " WHERE datname = current_database() AND starts_with(application_name, :prefix)"
        ),
        {"prefix": _PREFIX},
    )
    wanted = _shortened(embedder)
    return sum(wanted not in name.removeprefix(_PREFIX).split(",") for name in names)


def _shortened(embedder: EmbedderId) -> str:
    return embedder.sha256[:_DIGITS]
