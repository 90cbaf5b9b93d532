"""No key may take more than its share: `RateLimit` headers on each answer, 429 beyond the rate.

Source of the headers: the IETF's draft-ietf-httpapi-ratelimit-headers.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import problems
from app.edge.counting import Counts, Used
from app.handlers import problem_response
from app.keys.caller import Caller
from app.keys.rate import parse_rate


class RateLimit:
    """Counts the calls of each key; needs to know the caller."""

    def __init__(self, app: ASGIApp, rate: str) -> None:
        """Allow `rate`, such as `600/minute`, to keys that have none of their own."""
        self.app = app
        self.rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope.get("state", {}).get("caller")
        if caller is None:
            await self.app(scope, receive, send)
            return
        counts: Counts = scope["app"].state.services.counts
        rate = parse_rate(caller.rate_limit or self.rate)
        used = await counts.hit(rate, "key", caller.key_id)

        async def send_with_rate(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Policy"] = f'"key";q={rate.amount};w={rate.get_expiry()}'
                headers["RateLimit"] = f'"key";r={used.remaining};t={used.reset_s}'
            await send(message)

        if used.allowed:
            await self.app(scope, receive, send_with_rate)
            return
        answer = problem_response(too_many("The key has made", used), scope["state"]["request_id"])
        await answer(scope, receive, send_with_rate)


def too_many(who_has: str, used: Used) -> problems.RateLimited:
    """Say that a rate is used up, and when there is more of it."""
    return problems.RateLimited(
        f"{who_has} too many calls; try again in {used.reset_s} s.",
        headers={"Retry-After": str(used.reset_s)},
    )
