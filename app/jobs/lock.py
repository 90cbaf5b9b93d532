"""Who runs a job holds its lock in the database, on a connection of its own.

The lock goes with the process, whatever ends that, and soon after the machine if that is lost:
a job that is not over and whose lock can be taken is dead.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg

from app.database import NOTICE_LOSS
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
    async with _connected(address) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", [lock_key(job_id)])
        yield


@asynccontextmanager
async def job_lock_if_free(address: str, job_id: UUID) -> AsyncIterator[bool]:
    """Hold the lock of a job while the block runs, unless somebody else does.

    Args:
        address: of the database, `postgresql://...`.
        job_id: of a job.

    Returns:
        Whether it is held.

    Raises:
        DatabaseUnavailable: it can't be reached.
    """
    async with _connected(address) as connection:
        answer = await connection.execute("SELECT pg_try_advisory_lock(%s)", [lock_key(job_id)])
        (held,) = await answer.fetchone() or (False,)
        yield held


@asynccontextmanager
async def _connected(address: str) -> AsyncIterator[psycopg.AsyncConnection]:
    try:
        connection = await psycopg.AsyncConnection.connect(address, autocommit=True)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable("The database can't be reached; try again shortly.") from error
    try:
        await connection.execute(NOTICE_LOSS)
        yield connection
    finally:
        await connection.close()
