"""Routes for whoever runs the service; whether it lives and is ready is told without a key."""

from fastapi import APIRouter, Request

from app.collections.schemas import EmbedderOut
from app.deps import AnyCaller, ServicesDep
from app.edge.draining import is_draining
from app.ops.schemas import Health, Readiness, Version
from app.problems import InvalidKey, MissingKey, NotReady, problems
from app.services import Services
from app.version import NAME, VERSION

router = APIRouter(tags=["operations"])


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Health:
    """Answer. Restart the service if this does not."""
    return Health()


@router.get("/readyz", summary="Can it do its work?", responses=problems(NotReady))
async def readyz(request: Request) -> Readiness:
    """Answer 200 when the nets are warm and the galleries loaded. Send traffic only then.

    A database that goes away later does not change that: all replicas would be taken out together,
    though each can still search. `database` tells.
    """
    services: Services | None = getattr(request.app.state, "services", None)
    if services is None or is_draining(request.app):
        raise NotReady("The service is starting or stopping.")
    return Readiness(database="away" if services.database.is_away else "reachable")


@router.get("/version", summary="What runs here?", responses=problems(MissingKey, InvalidKey))
async def version(_caller: AnyCaller, services: ServicesDep) -> Version:
    """Tell the version of the service, its embedders and where the nets run. Any key will do."""
    return Version(
        name=NAME,
        version=VERSION,
        embedder=services.embedders.default.manifest.name,
        embedders=[EmbedderOut(**each.manifest.id._asdict()) for each in services.embedders],
        provider=services.settings.provider,
    )
