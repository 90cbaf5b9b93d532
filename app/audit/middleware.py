"""Enters each call that a key makes in the audit log, before its answer leaves."""

import asyncio
from contextlib import suppress
from uuid import UUID

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.audit.entry import Entry
from app.audit.facts import Facts, collecting
from app.audit.log import AuditLog
from app.edge.context import unexpected_problem
from app.handlers import problem_response
from app.keys.caller import Caller
from app.logs import describe_error, get_logger
from app.patience import CLIENT_GONE
from app.problems import AuditUnavailable

LEFT_OUT = frozenset(
    {
        "healthz",
        "readyz",
        "version",
        "metrics",
        "list_jobs",
        "get_job",
        "follow_job",
        "get_enroll_batch",
        "get_identify_batch",
    }
)
"""What is asked again and again, and tells of nobody."""
REPLAYED = "replayed"

log = get_logger()


class Audit:
    """Holds an answer back until its entry is durable; without one it is 503."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "caller" not in scope["state"]:
            await self.app(scope, receive, send)
            return
        with collecting() as facts:
            call = _Call(scope, facts, send)
            try:
                await self.app(scope, receive, call.send_once_entered)
                if not call.is_entered:
                    call.give_up()
            except asyncio.CancelledError:
                call.give_up()
                raise
            except Exception as error:
                await call.enter_failure(error)
                if call.refused is None:
                    raise
                log.error("request_failed", **describe_error(error))
        if call.refused is not None:
            answer = problem_response(call.refused, scope["state"]["request_id"])
            await answer(scope, receive, send)


class _Call:
    """One call, on its way to its entry."""

    def __init__(self, scope: Scope, facts: Facts, send: Send) -> None:
        self._scope = scope
        self._facts = facts
        self._send = send
        self._audit: AuditLog = scope["app"].state.services.audit
        self.is_entered = False
        self.refused: AuditUnavailable | None = None
        """Set: it could not be entered, so its answer stays here."""

    async def send_once_entered(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            replayed = Headers(raw=message["headers"]).get("Idempotency-Replayed") == "true"
            await self._try_to_enter(message["status"], REPLAYED if replayed else None)
        if self.refused is None:
            await self._send(message)

    def give_up(self) -> None:
        """Enter that nobody was there any more; no answer leaves that would wait for it."""
        if not self.is_entered and (entry := self._entry(CLIENT_GONE, "given_up")):
            self._audit.write(entry)

    async def enter_failure(self, error: Exception) -> None:
        """Enter what nobody expected, before it is answered outside."""
        if not self.is_entered:
            problem = unexpected_problem(error)
            self._scope["state"]["problem"] = problem.code
            await self._try_to_enter(problem.status)

    async def _try_to_enter(self, status: int, outcome: str | None = None) -> None:
        self.is_entered = True
        if entry := self._entry(status, outcome or self._outcome(status)):
            try:
                await self._audit.write(entry)
            except AuditUnavailable as problem:
                self.refused = problem

    def _outcome(self, status: int) -> str:
        if status >= 400:
            code: str = self._scope["state"].get("problem", "failed")
            return code
        return self._facts.outcome or "done"

    def _entry(self, status: int, outcome: str) -> Entry | None:
        """Make the entry; None: it is not to be entered, or no operation was called."""
        scope, facts = self._scope, self._facts
        # A replay comes before a route is looked for.
        action = "replay" if outcome == REPLAYED else getattr(scope.get("route"), "name", None)
        if action is None or action in LEFT_OUT:
            return None
        # Also if there is no such subject: somebody has asked for it.
        with suppress(KeyError, ValueError):
            facts.note_subjects([UUID(scope["path_params"]["subject_id"])])
        caller: Caller = scope["state"]["caller"]
        client = scope.get("client")
        return Entry(
            request_id=scope["state"]["request_id"],
            key_id=caller.key_id,
            action=action,
            collection_id=facts.collection_id,
            subject_ids=tuple(facts.subject_ids),
            outcome=outcome,
            status=status,
            address=client[0] if client else None,
        )
