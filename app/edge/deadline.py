"""How long is a request worked for? Until its deadline, and while its client is there."""

import math

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.handlers import problem_response
from app.patience import CLIENT_GONE, ClientGone, Patience, patient
from app.problems import InvalidRequest

HEADER = "Cohort-Timeout"


class Deadline:
    """Has model work begin only while somebody waits for it, and not too late."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        """Take the longest time that a request's work may wait."""
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            seconds = self._seconds_of(scope)
        except InvalidRequest as problem:
            answer = problem_response(problem, scope["state"]["request_id"])
            await answer(scope, receive, send)
            return

        async def until_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        patience = Patience(seconds, until_gone)

        async def receive_to_the_end() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                patience.begin()
            return message

        try:
            with patient(patience):
                await self.app(scope, receive_to_the_end, send)
        except ClientGone:
            await send({"type": "http.response.start", "status": CLIENT_GONE, "headers": []})
            await send({"type": "http.response.body"})

    def _seconds_of(self, scope: Scope) -> float:
        given = Headers(scope=scope).get(HEADER)
        if given is None:
            return self.seconds
        try:
            seconds = float(given)
        except ValueError:
            seconds = math.nan
        if not seconds > 0:
            message = "should be a number of seconds above 0"
            raise InvalidRequest(
                f"{HEADER}: {message}.",
                errors=[{"in": "header", "field": HEADER, "message": message}],
            )
        return min(seconds, self.seconds)
