"""Times each request and counts how it ended."""

from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.edge.context import unexpected_problem
from app.metrics.instruments import Metrics as Instruments

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
"""A client may send any word."""


class Metrics:
    """By the route's template: a path can hold an id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = getattr(scope["app"].state, "services", None) if "app" in scope else None
        if scope["type"] != "http" or services is None:
            await self.app(scope, receive, send)
            return
        metrics: Instruments = services.metrics
        start = perf_counter()
        began = False

        def observe(status: int, code: str | None) -> None:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in METHODS else "other"
            duration_s = perf_counter() - start
            metrics.requests.labels(method, route, str(status)).observe(duration_s)
            if code is not None:
                metrics.problems.labels(code).inc()

        async def send_observed(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                observe(message["status"], scope["state"].get("problem"))
            await send(message)

        with metrics.in_progress.track_inprogress():
            try:
                await self.app(scope, receive, send_observed)
            except Exception as error:
                if not began:
                    problem = unexpected_problem(error)
                    observe(problem.status, problem.code)
                raise
