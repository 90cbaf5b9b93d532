"""A request's identity, its line in the log, and the answer to what nobody expected."""

import re
import uuid
from time import perf_counter
from typing import Any

import structlog
from sqlalchemy import exc
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import problems
from app.edge.address import client_address
from app.encryption.repository import is_of_rotated_key
from app.handlers import problem_response
from app.logs import describe_error, get_logger

REQUEST_ID_HEADER = "X-Request-ID"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")

log = get_logger()


class RequestContext:
    """Gives a request its id, answers what nobody expected, and writes the access log."""

    def __init__(self, app: ASGIApp, trusted_proxies: int = 0) -> None:
        self.app = app
        self.trusted_proxies = trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = perf_counter()
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
        # Anything else could break out of the header or the log line that it is put into.
        request_id = given if _ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = request_id
        address = client_address(scope, self.trusted_proxies)
        scope["client"] = None if address is None else (address, 0)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception as error:  # noqa: BLE001  (whatever it is, the caller gets an answer)
            if not _is_of_known_outage(error, scope):
                log.error("request_failed", **describe_error(error))
            if not status:
                answer = problem_response(unexpected_problem(error), request_id)
                await answer(scope, receive, send_with_id)
        route = scope.get("route")
        log.info(
            "request",
            method=scope["method"],
            # The template, not the path and query, which can hold names and external ids.
            path=getattr(route, "path", None),
            status=status,
            duration_ms=round((perf_counter() - start) * 1e3, 2),
            key_id=state.get("key_id"),
        )


def _is_of_known_outage(error: Exception, scope: Scope) -> bool:
    """Whether the log says already that the database is away, and need not for each request."""
    services = getattr(scope["app"].state, "services", None)
    return isinstance(error, exc.OperationalError) and bool(services and services.database.is_away)


def unexpected_problem(error: Exception) -> problems.Problem:
    """Give the problem that an error which no route expected is answered with."""
    # The pool's TimeoutError: all connections were busy for longer than anybody should wait.
    if isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError):
        return problems.DatabaseUnavailable(
            "The database can't be reached; try again shortly.", headers={"Retry-After": "1"}
        )
    if is_of_rotated_key(error):
        return problems.DatabaseUnavailable(
            "The keys were just rotated; try again shortly.", headers={"Retry-After": "1"}
        )
    return problems.InternalError("The request failed; its id finds it in the log.")
