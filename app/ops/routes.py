"""Routes for whoever runs the service; they need no key."""

from fastapi import APIRouter, Request

from app.deps import ServicesDep
from app.ops.schemas import Health, Readiness, Version
from app.problems import DatabaseUnavailable, NotReady, problems
from app.services import Services
from app.version import NAME, VERSION

router = APIRouter(tags=["operations"])


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Health:
    """Answer. Restart the service if this does not."""
    return Health()


@router.get(
    "/readyz", summary="Can it do its work?", responses=problems(NotReady, DatabaseUnavailable)
)
async def readyz(request: Request) -> Readiness:
    """Answer 200 when the nets are warm, the galleries loaded and the database reachable.

    Send traffic only then.
    """
    services: Services | None = getattr(request.app.state, "services", None)
    if services is None:
        raise NotReady("The service is starting or stopping.")
    await services.database.ping()
    return Readiness()


@router.get("/version", summary="What runs here?")
async def version(services: ServicesDep) -> Version:
    """Tell the version of the service, its embedder and where the nets run."""
    return Version(
        name=NAME,
        version=VERSION,
        embedder=services.path.embedder.manifest.name,
        provider=services.settings.provider,
    )
