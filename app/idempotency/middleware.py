"""`Idempotency-Key`: a write that is sent again gets the answer that it had."""

import hashlib
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.edge.methods import is_taken
from app.handlers import problem_response
from app.idempotency.answers import REPLAYED, Answer
from app.idempotency.claim import Claim
from app.idempotency.repository import Key
from app.idempotency.request import SpooledRequest
from app.idempotency.service import claim_or_answer
from app.patience import CLIENT_GONE, ClientGone
from app.problems import InvalidRequest, Problem
from app.services import Services

HEADER = "Idempotency-Key"
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
ONLY_LOOK = frozenset({"/identify", "/detect", "/verify"})
"""Paths that are posted to because pictures don't fit into an address; nothing is written."""

_KEY = re.compile(r"[!-~]{1,255}")


class Idempotency:
    """Carries each write out once for each key that it comes with."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _concerns(scope):
            await self.app(scope, receive, send)
            return
        request = SpooledRequest(scope, receive)
        try:
            await self._answer_once(scope, request, send)
        except ClientGone:
            return
        except Problem as problem:
            answer = problem_response(problem, scope["state"]["request_id"])
            await answer(scope, receive, send)
        finally:
            request.close()

    async def _answer_once(self, scope: Scope, request: SpooledRequest, send: Send) -> None:
        services: Services = scope["app"].state.services
        key = Key(scope["state"]["caller"].key_id, _read_key(scope))
        held = await claim_or_answer(
            key, await request.read(), database=services.database, vault=services.vault
        )
        if isinstance(held, Answer):
            await held.give(send, REPLAYED)
        else:
            answer = await self._answer(held, scope, request)
            await answer.give(send)

    async def _answer(self, claim: Claim, scope: Scope, request: SpooledRequest) -> Answer:
        """Have the route answer, and keep what it says."""
        collected = _Collected()
        try:
            async with claim.held():
                await self.app(scope, request.receive, collected.send)
        except BaseException:
            await claim.give_up()
            raise
        answer = collected.answer()
        if _is_final(answer.status):
            await claim.finish(answer)
        else:
            await claim.give_up()
        return answer


class _Collected:
    """Takes a route's answer; those of writes are short."""

    def __init__(self) -> None:
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = list(message["headers"])
        else:
            self._body += message.get("body", b"")

    def answer(self) -> Answer:
        return Answer(self._status, self._headers, bytes(self._body))


def _concerns(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] in WRITES
        and scope["path"] not in ONLY_LOOK
        and "caller" in scope["state"]
        and HEADER in Headers(scope=scope)
        and is_taken(scope)
    )


def _read_key(scope: Scope) -> str:
    """Give the SHA-256 of the key, in hexadecimal."""
    given = Headers(scope=scope).getlist(HEADER)
    if len(given) != 1 or not _KEY.fullmatch(given[0]):
        message = "should be sent once, with 1 to 255 visible ASCII characters"
        raise InvalidRequest(
            f"{HEADER}: {message}.",
            errors=[{"in": "header", "field": HEADER, "message": message}],
        )
    return hashlib.sha256(given[0].encode()).hexdigest()


def _is_final(status: int) -> bool:
    """Whether the same request would be answered the same way: not when the service was at fault,
    or had too much to do, or the client has gone.
    """
    return status < 500 and status not in (429, CLIENT_GONE)
