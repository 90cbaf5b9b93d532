"""A service with a collection and bundles that need no training."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from fastapi import FastAPI

from app.bundles import keeper
from app.jobs import keeper as job_keeper
from app.jobs.repository import lock_key
from app.services import Services
from app.settings import Settings
from tests.app.bundles.made import CLUSTERS, COMPARISON, make_results
from tests.app.populate import drawn_templates, populate

SUBJECTS, SAMPLES = 40, 3

Publish = Callable[..., Awaitable[str]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"bundles_kept": 2})


@pytest.fixture
def services(app: FastAPI) -> Services:
    services: Services = app.state.services
    return services


@pytest.fixture
def rounds_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no round of the service's own come in between, after its first."""
    for each in (keeper, job_keeper):
        monkeypatch.setattr(each, "LOOK_EVERY_S", 3600)


async def take_up_subjects(services: Services) -> list[UUID]:
    """Make subjects up in the default collection, and have the service take them up."""
    made = populate(
        services.database.address,
        services.vault,
        subjects=SUBJECTS,
        samples=SAMPLES,
        dimension=services.path.embedder.manifest.dimension,
    )
    await services.galleries.refresh()
    return made


async def publish_drawn(
    services: Services, subjects: Sequence[UUID], folder: Path, weight_of_subnets: float
) -> str:
    """Publish a bundle of such subjects as a retraining does; other weights make it another one."""
    live = services.galleries.find("default")
    embedder = services.path.embedder.manifest
    templates = drawn_templates(len(subjects), SAMPLES, dimension=embedder.dimension, seed=0)
    results = folder / f"results {weight_of_subnets}"
    watermark = live.gallery.revision
    bundle_id = make_results(
        results,
        subjects,
        templates,
        embedder=embedder,
        collection_id=live.collection_id,
        watermark=watermark,
        weight_of_subnets=weight_of_subnets,
    )
    fields = {
        "id": bundle_id,
        "watermark": watermark,
        "classes": len(subjects),
        "subnets": CLUSTERS,
        "metrics": {"comparison": COMPARISON},
        "job_id": None,
    }

    async def nothing_more(_session: object) -> None:
        return None

    await services.bundles.publish(results, live.collection_id, fields, nothing_more)
    return bundle_id


@asynccontextmanager
async def training_elsewhere(address: str) -> AsyncIterator[None]:
    """Have another process train, and end in the end; what it will publish is left alone."""
    job_id = uuid4()
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", [lock_key(job_id)])
        await connection.execute(
            "INSERT INTO jobs (id, collection_id, state, progress, message, options, metrics,"
            " cancel_requested) SELECT %s, id, 'running', 0, '', '{}', '{}', false"
            " FROM collections WHERE name = 'default'",
            [job_id],
        )
        yield
        await connection.execute(
            "UPDATE jobs SET state = 'failed', finished_at = now() WHERE id = %s", [job_id]
        )


def trace(services: Services, erasure_id: UUID, bundle_id: str) -> None:
    """Write down that a bundle was trained with somebody who was erased since."""
    with psycopg.connect(services.database.address) as connection:
        connection.execute(
            "INSERT INTO erasures (id, collection_id, subject_id, samples, variants, feedback)"
            " SELECT %s, id, %s, 0, 0, 0 FROM collections ON CONFLICT DO NOTHING",
            [erasure_id, erasure_id],
        )
        connection.execute(
            "INSERT INTO erasure_bundles (erasure_id, bundle_id) VALUES (%s, %s)",
            [erasure_id, bundle_id],
        )


@pytest.fixture
async def subjects(services: Services) -> list[UUID]:
    return await take_up_subjects(services)


@pytest.fixture
def publish(services: Services, subjects: list[UUID], tmp_path: Path) -> Publish:
    """Publish a bundle of the made-up subjects."""
    return partial(publish_drawn, services, subjects, tmp_path)
