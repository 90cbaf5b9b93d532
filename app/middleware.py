"""What happens to every request before and after its route, as pure ASGI.

From the outside in: `RequestContext` (identity, log line, unexpected errors), `BodyLimit`, and
`Authentication`, which comes before the body is read: a stranger can't make us read 200 MB.
"""

import re
import uuid
from contextlib import suppress
from time import perf_counter
from typing import Any

import structlog
from sqlalchemy import exc
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import problems
from app.handlers import problem_response
from app.logs import describe_error, get_logger

REQUEST_ID_HEADER = "X-Request-ID"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")

log = get_logger()


class RequestContext:
    """Gives a request its id, answers what nobody expected, and writes the access log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

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
            log.error("request_failed", **describe_error(error))
            if not status:
                answer = problem_response(_unexpected(error), request_id)
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


def _unexpected(error: Exception) -> problems.Problem:
    # The pool's TimeoutError: all connections were busy for its 30 seconds.
    if isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError):
        return problems.DatabaseUnavailable(
            "The database can't be reached; try again shortly.", headers={"Retry-After": "1"}
        )
    return problems.InternalError("The request failed; its id finds it in the log.")


MAX_PLAIN_BODY_BYTES = 64 * 1024
"""Of a body that is no multipart form, and so holds no picture: four times the largest metadata."""


class BodyLimit:
    """Refuses bodies that are too large, whether they say so or are found out."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        max_bytes = self.max_bytes
        # As Starlette tells whether to read a multipart form.
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "multipart/form-data":
            max_bytes = min(max_bytes, MAX_PLAIN_BODY_BYTES)
        declared = headers.get("Content-Length", "")
        # A server refuses a length that is no number before it comes here.
        if declared.isdecimal() and int(declared) > max_bytes:
            await self._refuse(max_bytes, scope, receive, send)
            return
        received = 0
        exceeded = False

        async def receive_counted() -> Message:
            nonlocal received, exceeded
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_bytes:
                exceeded = True
                raise BodyTooLarge
            return message

        async def send_unless_exceeded(message: Message) -> None:
            # The route makes its own error of `BodyTooLarge`; ours replaces it.
            if not exceeded:
                await send(message)

        with suppress(BodyTooLarge):
            await self.app(scope, receive_counted, send_unless_exceeded)
        if exceeded:
            await self._refuse(max_bytes, scope, receive, send)

    async def _refuse(self, max_bytes: int, scope: Scope, receive: Receive, send: Send) -> None:
        problem = problems.RequestTooLarge(f"The body may have {max_bytes} bytes.")
        await problem_response(problem, scope["state"]["request_id"])(scope, receive, send)


class BodyTooLarge(Exception):
    """More bytes came than are allowed."""


DOCS_ASSETS = "/docs-assets"
"""Where the scripts and styles of the documentation pages are."""


class Authentication:
    """Requires a valid key for everything but the public paths."""

    PUBLIC_PATHS = frozenset(
        {"/healthz", "/readyz", "/version", "/docs", "/redoc", "/openapi.json"}
    )

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_public(scope["path"]):
            try:
                caller = await scope["app"].state.services.keys.authenticate(
                    Headers(scope=scope).get("Authorization")
                )
            except problems.Problem as problem:
                answer = problem_response(problem, scope["state"]["request_id"])
                await answer(scope, receive, send)
                return
            scope["state"]["caller"] = caller
            scope["state"]["key_id"] = caller.key_id
        await self.app(scope, receive, send)

    def _is_public(self, path: str) -> bool:
        return path in self.PUBLIC_PATHS or path.startswith(f"{DOCS_ASSETS}/")
