"""A service with a collection, and jobs that other processes run or ran."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID, uuid4

import psycopg
import pytest
from fastapi import FastAPI
from psycopg.types.json import Jsonb

from app.jobs.repository import lock_key
from app.services import Services
from tests.app.populate import populate

OPTIONS = {"full": False, "target_size": None, "seed": None, "automatic": False, "changed": None}

RunElsewhere = Callable[[UUID], AbstractContextManager[None]]


@pytest.fixture
def services(app: FastAPI) -> Services:
    services: Services = app.state.services
    return services


@pytest.fixture
async def subjects(services: Services) -> list[UUID]:
    """Made-up subjects of the default collection, which the service has taken up."""
    dimension = services.path.embedder.manifest.dimension
    made = populate(
        services.database.address, services.vault, subjects=4, samples=2, dimension=dimension
    )
    await services.galleries.refresh()
    return made


@pytest.fixture
def write_job(services: Services) -> Callable[..., UUID]:
    """Write a job of the default collection down, as a process that has died since might have."""

    def write(state: str = "running", **options: object) -> UUID:
        job_id = uuid4()
        with psycopg.connect(services.database.address) as connection:
            connection.execute(
                "INSERT INTO jobs (id, collection_id, state, progress, message, options, metrics,"
                " cancel_requested) SELECT %s, id, %s, 0.25, '', %s, '{}', false"
                " FROM collections WHERE name = 'default'",
                [job_id, state, Jsonb(OPTIONS | options)],
            )
        return job_id

    return write


@pytest.fixture
def run_elsewhere(services: Services) -> RunElsewhere:
    """Hold the lock of a job, as the process that runs it does."""

    @contextmanager
    def run(job_id: UUID) -> Iterator[None]:
        with psycopg.connect(services.database.address, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(%s)", [lock_key(job_id)])
            yield

    return run


@pytest.fixture
def set_job(services: Services) -> Callable[..., None]:
    """Change columns of a job, as the process that runs it does."""

    def change(job_id: UUID, **columns: object) -> None:
        assignments = ", ".join(f"{name} = %({name})s" for name in columns)
        with psycopg.connect(services.database.address) as connection:
            connection.execute(
                f"UPDATE jobs SET {assignments} WHERE id = %(id)s",  # noqa: S608
                columns | {"id": job_id},
            )

    return change
