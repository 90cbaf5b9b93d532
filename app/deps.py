"""What routes ask for, as `Annotated` aliases: the service's parts, and callers by right."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBearer as BearerModel
from fastapi.security.base import SecurityBase

from app.bundles.service import Bundles
from app.database import Database
from app.feedback.sealing import Sealer
from app.gallery.service import Galleries
from app.inference import Inference
from app.jobs.service import Jobs
from app.keys.service import Caller, KeyRing, Scope
from app.settings import Settings
from models.calibration import Calibration
from models.identifier import QueryPath


@dataclass(frozen=True)
class Services:
    """Everything that is opened at start and shared by all requests."""

    settings: Settings
    database: Database
    keys: KeyRing
    galleries: Galleries
    inference: Inference
    path: QueryPath
    prior: Calibration
    """Of the embedder; each gallery's own thresholds go with the gallery."""
    sealer: Sealer
    bundles: Bundles
    jobs: Jobs


async def get_services(request: Request) -> Services:
    """Give what the lifespan has opened."""
    # These functions are async although nothing waits: FastAPI sends others to a thread each.
    services: Services = request.app.state.services
    return services


class _Bearer(SecurityBase):
    """Shows the key in OpenAPI; it was checked before the body was read (app/middleware.py)."""

    def __init__(self) -> None:
        self.model = BearerModel(description="`Authorization: Bearer cohort_...`")
        self.scheme_name = "key"

    async def __call__(self, request: Request) -> Caller:
        caller: Caller = request.state.caller
        return caller


_bearer = _Bearer()
ServicesDep = Annotated[Services, Depends(get_services)]


class _Requires:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, caller: Annotated[Caller, Security(_bearer)]) -> Caller:
        caller.require(self._scope)
        return caller


Reader = Annotated[Caller, Depends(_Requires("identify"))]
"""May search and read."""
Enroller = Annotated[Caller, Depends(_Requires("enroll"))]
"""May change subjects."""
Admin = Annotated[Caller, Depends(_Requires("admin"))]
"""May do everything."""


async def get_request_id(request: Request) -> str:
    """Give the id that the answer carries."""
    request_id: str = request.state.request_id
    return request_id


RequestId = Annotated[str, Depends(get_request_id)]
