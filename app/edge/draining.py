"""On the way out: requests are still answered, and their connections sent elsewhere."""

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def begin_draining(app: FastAPI) -> None:
    """Have `/readyz` say no from now on, and each answer be its connection's last."""
    app.state.draining = True


def is_draining(app: FastAPI) -> bool:
    """Tell whether the service is about to stop."""
    return getattr(app.state, "draining", False)


class Draining:
    """Closes connections after their answers while the service is about to stop."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_as_the_last(message: Message) -> None:
            if message["type"] == "http.response.start" and is_draining(scope["app"]):
                # A client that kept its connection would be cut off when the service has stopped.
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self.app(scope, receive, send_as_the_last)
