"""Uvicorn around the application: what it says at its start, and how a failed start ends."""

import socket
from time import monotonic
from types import FrameType

import uvicorn
from fastapi import FastAPI
from rich.text import Text
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.cli.output import Failure, notes
from app.cli.protocol import GuardedProtocol
from app.cli.start_errors import start_errors_as_failures
from app.edge.draining import begin_draining
from app.main import create_app, stop_streams
from app.postgres_programs import EmbeddedPostgresError
from app.settings import Settings

# Requests that are being answered get this long when the service is told to stop.
GRACE_S = 20


def run(settings: Settings, listener: socket.socket) -> None:
    """Serve until a signal ends it.

    Args:
        settings: of the service.
        listener: bound; closed in the end.

    Raises:
        Failure: the service can't start, and its operator can do something about it; or it did not
            stop in good order.
        KeyboardInterrupt: it was stopped with Ctrl-C, in good order.
    """
    service = create_app(settings)
    application = _RememberingErrors(service)
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http=GuardedProtocol,
        # What was set for one request must not be there in the next one of the same connection.
        reset_contextvars=True,
        ws="none",
        # The application sets up its own logging, and logs its own requests.
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        # By itself the server would take the word of any program on this machine for a caller's
        # address; app/edge/address.py reads the header if the settings say so.
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    try:
        _AnnouncingServer(config, settings, service).run(sockets=[listener])
    except (SystemExit, KeyboardInterrupt):
        # How the server ends after a signal, and when the application does not start: without a
        # word about why.
        if application.error is None:
            raise
    if application.error is None:
        return
    if not application.started:
        with start_errors_as_failures():
            raise application.error
    if isinstance(application.error, EmbeddedPostgresError | OSError):
        raise Failure(f"The service did not stop in good order: {application.error}")
    raise application.error


class _AnnouncingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, settings: Settings, service: FastAPI) -> None:
        super().__init__(config)
        self._settings = settings
        self._service = service
        self._drained_at: float | None = None
        """When no more requests are taken; None: nobody has said stop, or there is no drain."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, and with each further signal wait for less: for the drain, for the requests."""
        if self.should_exit:
            self.force_exit = True
        elif self._drained_at is None and self._settings.drain_s > 0:
            self._drained_at = monotonic() + self._settings.drain_s
            begin_draining(self._service)
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if self._drained_at is not None and monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
            if self.started and sockets:
                _announce(_url(sockets[0]), self._settings)
        except BaseException:
            # The application has started, or is past it: nobody else would close its database.
            await self.lifespan.shutdown()
            raise

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams would go on for as long as their jobs, and the server waits for them.
        stop_streams(self._service)
        await super().shutdown(sockets)
        if self.force_exit:
            # A further signal ends the requests, but must not leave a Postgres behind.
            await self.lifespan.shutdown()


class _RememberingErrors:
    """Keeps the error of a failed start or stop, which the server would only log as a traceback."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self.started = False
        self.error: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return

        async def send_without_traceback(message: Message) -> None:
            self.started = self.started or message["type"] == "lifespan.startup.complete"
            await send({"type": message["type"]})

        try:
            await self._application(scope, receive, send_without_traceback)
        except Exception as error:  # noqa: BLE001  (raised again by `run`)
            self.error = error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  (read, not bound)
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _announce(url: str, settings: Settings) -> None:
    data = settings.data_dir.resolve()
    database = "COHORT_DATABASE_URL" if settings.database_url else "embedded Postgres"
    lines = {
        "Cohort listens on": url,
        "documentation": (
            f"{url}/docs" if settings.public_docs else "needs a key, or COHORT_PUBLIC_DOCS=true"
        ),
        "data": f"{data} ({database})",
    }
    # Gone where its owner has made others and deleted it, as is good.
    if (key_file := data / "admin.key").exists():
        lines["admin key"] = str(key_file)
    for name, value in lines.items():
        notes.print(Text.assemble((f"{name:<18}", "bold"), value), soft_wrap=True)
