"""Who calls? Asked before the body is read: a stranger can't make us read 200 MB."""

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app import problems
from app.edge.address import network_of
from app.edge.counting import Counts
from app.edge.rate_limit import too_many
from app.handlers import problem_response
from app.keys.caller import Caller, seeing
from app.keys.rate import parse_rate
from app.keys.ring import KeyRing

PROBES = frozenset({"/healthz", "/readyz"})
"""Asked by whoever watches over the process, and has no key."""
DOCS = frozenset({"/docs", "/redoc", "/openapi.json"})
DOCS_ASSETS = "/docs-assets"
"""Where the scripts and styles of the documentation pages are."""

_LIKE_A_KEY = re.compile(rb"cohort_[0-9a-f]{8}_")


class Authentication:
    """Requires a valid key for everything but the public paths, and slows down who guesses one."""

    def __init__(self, app: ASGIApp, *, public_docs: bool, failed_limit: str) -> None:
        """Take what the settings say.

        Args:
            app: what is inside.
            public_docs: whether the documentation needs no key.
            failed_limit: calls without a valid key that an address may make, such as `60/minute`.
        """
        self.app = app
        self.public_docs = public_docs
        self.failed_rate = parse_rate(failed_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_public(scope["path"]):
            await self.app(scope, receive, send)
            return
        try:
            caller = await self._authenticate(scope)
        except problems.Problem as problem:
            answer = problem_response(problem, scope["state"]["request_id"])
            await answer(scope, receive, send)
            return
        scope["state"]["caller"] = caller
        scope["state"]["key_id"] = caller.key_id
        with seeing(caller.collections):
            await self.app(scope, receive, send)

    def _is_public(self, path: str) -> bool:
        if path in PROBES:
            return True
        return self.public_docs and (path in DOCS or path.startswith(f"{DOCS_ASSETS}/"))

    async def _authenticate(self, scope: Scope) -> Caller:
        """Tell who calls.

        Raises:
            KeyInAddress: there is a key where it must never be.
            MissingKey, InvalidKey: see `KeyRing.authenticate`.
            RateLimited: too many calls without a valid key have come from there, and the key is
                none that was valid a moment ago.
        """
        if _LIKE_A_KEY.search(scope["query_string"]) or _LIKE_A_KEY.search(scope["path"].encode()):
            raise problems.KeyInAddress(
                "Send the key in the `Authorization` header; an address ends in logs, so take "
                "this key out of use."
            )
        keys: KeyRing = scope["app"].state.services.keys
        counts: Counts = scope["app"].state.services.counts
        sent = Headers(scope=scope).getlist("Authorization")
        # Of two nobody could say which one a proxy on the way has looked at.
        authorization = sent[0] if len(sent) == 1 else None
        client = scope.get("client")
        network = network_of(client[0]) if client else "none"
        if not keys.knows(authorization):
            used = await counts.look(self.failed_rate, "failed", network)
            if not used.allowed:
                raise too_many("Your address has made", used)
        try:
            return await keys.authenticate(authorization)
        except (problems.MissingKey, problems.InvalidKey):
            await counts.hit(self.failed_rate, "failed", network)
            raise
