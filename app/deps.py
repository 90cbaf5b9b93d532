"""What routes ask for, as `Annotated` aliases: the service's parts, and callers by right."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBearer as BearerModel
from fastapi.security.base import SecurityBase

from app.keys.service import Caller, Scope
from app.services import Services


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
