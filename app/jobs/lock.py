"""Who runs a job holds its lock in the database, on a connection of its own.

The lock goes with the process, whatever ends that: a job that is not over and whose lock can be
taken is dead.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg

from app.jobs.repository import lock_key
from app.problems import DatabaseUnavailable


@asynccontextmanager
async def job_lock(address: str, job_id: UUID) -> AsyncIterator[None]:
    """Hold the lock of a job while the block runs.

    Args:
        address: of the database, `postgresql://...`.
        job_id: of a job that nobody else runs.

    Raises:
        DatabaseUnavailable: it can't be reached.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(address, autocommit=True)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable("The database can't be reached; try again shortly.") from error
    try:
        await connection.execute("SELECT pg_advisory_lock(%s)", [lock_key(job_id)])
        yield
    finally:
        await connection.close()
