"""Which methods a path has, whichever routes they are of."""

from starlette.routing import Match
from starlette.types import Scope

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


def is_taken(scope: Scope, method: str | None = None) -> bool:
    """Tell whether there is a route for the request's path, and its method or another one."""
    asked = {**scope, "method": method or scope["method"]}
    return any(route.matches(dict(asked))[0] is Match.FULL for route in scope["app"].router.routes)


def allowed(scope: Scope) -> str:
    """List the methods that the request's path has, as the header `Allow` does.

    Starlette lists those of the first route of a path only.
    """
    return ", ".join(method for method in _METHODS if is_taken(scope, method))
