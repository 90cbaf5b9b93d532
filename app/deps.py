"""What routes ask for, as `Annotated` aliases: the service's parts, and callers by right."""

from typing import Annotated

from fastapi import Depends, Request, Response, Security
from fastapi.openapi.models import HTTPBearer as BearerModel
from fastapi.security.base import SecurityBase

from app.keys.caller import Caller, Scope
from app.keys.sight import refuse_what_others_have
from app.services import Services


async def get_services(request: Request) -> Services:
    """Give what the lifespan has opened."""
    # These functions are async although nothing waits: FastAPI sends others to a thread each.
    services: Services = request.app.state.services
    return services


class _Bearer(SecurityBase):
    """Shows the key in OpenAPI; it was checked before the body was read (app/edge)."""

    def __init__(self) -> None:
        self.model = BearerModel(description="`Authorization: Bearer cohort_...`")
        self.scheme_name = "key"

    async def __call__(self, request: Request) -> Caller:
        caller: Caller = request.state.caller
        return caller


_bearer = _Bearer()
ServicesDep = Annotated[Services, Depends(get_services)]


class _Requires:
    def __init__(self, scope: Scope, *, all_collections: bool = False) -> None:
        self._scope = scope
        self._all_collections = all_collections

    async def __call__(
        self,
        request: Request,
        services: ServicesDep,
        caller: Annotated[Caller, Security(_bearer)],
    ) -> Caller:
        caller.require(self._scope)
        if self._all_collections:
            caller.require_all_collections()
        await refuse_what_others_have(caller, request.path_params, services.database)
        return caller


AnyCaller = Annotated[Caller, Security(_bearer)]
"""Has a key, whatever it is good for."""
Reader = Annotated[Caller, Depends(_Requires("identify"))]
"""May search and read."""
Enroller = Annotated[Caller, Depends(_Requires("enroll"))]
"""May change subjects."""
Admin = Annotated[Caller, Depends(_Requires("admin"))]
"""May do everything, in the collections that the key is good for."""
Operator = Annotated[Caller, Depends(_Requires("admin", all_collections=True))]
"""May do what concerns the service as a whole: the key is good for all collections."""
MetricsReader = Annotated[Caller, Depends(_Requires("metrics", all_collections=True))]
"""May read figures of the whole service."""


async def tell_if_from_memory(services: ServicesDep, response: Response) -> None:
    """Have an answer say so while the database is away: others may know more by now."""
    if services.database.is_away:
        response.headers["Cohort-Database"] = "away"


FromMemory = Depends(tell_if_from_memory)
"""For routes that need no database."""


async def get_request_id(request: Request) -> str:
    """Give the id that the answer carries."""
    request_id: str = request.state.request_id
    return request_id


RequestId = Annotated[str, Depends(get_request_id)]
