"""A service with a collection and bundles that need no training."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import pytest
from fastapi import FastAPI

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
async def subjects(services: Services) -> list[UUID]:
    """Made-up subjects of the default collection, which the service has taken up."""
    dimension = services.path.embedder.manifest.dimension
    made = populate(
        services.database.address, subjects=SUBJECTS, samples=SAMPLES, dimension=dimension
    )
    await services.galleries.refresh()
    return made


@pytest.fixture
def publish(services: Services, subjects: list[UUID], tmp_path: Path) -> Publish:
    """Publish a bundle of them as a retraining does; other weights make it another one."""

    async def published(weight_of_subnets: float) -> str:
        live = services.galleries.find("default")
        embedder = services.path.embedder.manifest
        templates = drawn_templates(SUBJECTS, SAMPLES, dimension=embedder.dimension, seed=0)
        folder = tmp_path / f"results {weight_of_subnets}"
        bundle_id = make_results(
            folder,
            subjects,
            templates,
            embedder=embedder,
            collection_id=live.collection_id,
            watermark=SUBJECTS,
            weight_of_subnets=weight_of_subnets,
        )
        fields = {
            "id": bundle_id,
            "watermark": SUBJECTS,
            "classes": SUBJECTS,
            "subnets": CLUSTERS,
            "metrics": {"comparison": COMPARISON},
            "job_id": None,
        }

        async def nothing_more(_session: object) -> None:
            return None

        await services.bundles.publish(folder, live.collection_id, fields, nothing_more)
        return bundle_id

    return published
