"""Bodies may be as large, and take as long, as their route has use for."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import problems
from app.handlers import problem_response

MAX_PLAIN_BODY_BYTES = 64 * 1024
"""Of a body that is no multipart form, and so holds no picture: four times the largest metadata."""
SLOWEST_BYTES_PER_S = 8 * 1024
"""A body that comes so fast may take any time."""


class BodyLimit:
    """Refuses bodies that are too large or too slow, whether they say so or are found out."""

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        timeout_s: float,
        routes: Mapping[str, int] | None = None,
    ) -> None:
        """Take the limits.

        Args:
            app: what is inside.
            max_bytes: of a multipart form; others may have `MAX_PLAIN_BODY_BYTES`.
            timeout_s: for the whole body, and a second more for each `SLOWEST_BYTES_PER_S` of it.
            routes: paths that may have other sizes, whatever the kind of their bodies.
        """
        self.app = app
        self.max_bytes = max_bytes
        self.timeout_s = timeout_s
        self.routes = routes or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        max_bytes = self._max_bytes(scope["path"], headers.get("Content-Type", ""))
        declared = headers.get("Content-Length", "")
        # A server refuses a length that is no number before it comes here.
        if declared.isdecimal() and int(declared) > max_bytes:
            await _answer(_too_large(max_bytes), scope, receive, send)
            return
        if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            problem = problems.UnsupportedEncoding("Send the body as it is, uncompressed.")
            await _answer(problem, scope, receive, send)
            return
        received = 0
        complete = False
        began_at = monotonic()
        refused: problems.Problem | None = None

        async def receive_within_limits() -> Message:
            nonlocal received, complete, refused
            if complete:
                # What comes now is that the caller has gone, which may take as long as the answer.
                return await receive()
            ends_at = began_at + self.timeout_s + received / SLOWEST_BYTES_PER_S
            try:
                async with asyncio.timeout(ends_at - monotonic()):
                    message = await receive()
            except TimeoutError:
                refused = _too_slow()
                raise BodyRefused from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > max_bytes:
                refused = _too_large(max_bytes)
                raise BodyRefused
            return message

        async def send_unless_refused(message: Message) -> None:
            # The route makes its own error of `BodyRefused`; ours replaces it.
            if refused is None:
                await send(message)

        with suppress(BodyRefused):
            await self.app(scope, receive_within_limits, send_unless_refused)
        if refused is not None:
            await _answer(refused, scope, receive, send)

    def _max_bytes(self, path: str, content_type: str) -> int:
        if path in self.routes:
            return self.routes[path]
        # As Starlette tells whether to read a multipart form.
        if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
            return self.max_bytes
        return min(self.max_bytes, MAX_PLAIN_BODY_BYTES)


class BodyRefused(Exception):
    """More bytes came than are allowed, or they came too slowly."""


def _too_large(max_bytes: int) -> problems.Problem:
    return problems.RequestTooLarge(f"The body may have {max_bytes} bytes.")


def _too_slow() -> problems.Problem:
    # The rest of the body would be taken for the connection's next request.
    return problems.RequestTooSlow(
        "The body took too long to come; send it again.", headers={"Connection": "close"}
    )


async def _answer(problem: problems.Problem, scope: Scope, receive: Receive, send: Send) -> None:
    await problem_response(problem, scope["state"]["request_id"])(scope, receive, send)
