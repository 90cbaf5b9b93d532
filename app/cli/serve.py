"""`cohort serve`: the service in this process, until it is told to stop."""

import os
import signal
import socket
import sys
from typing import Annotated

import typer

from app.cli.configuration import load_settings
from app.cli.output import Failure

BACKLOG = 2048
"""Connections that wait to be accepted; the server's own default."""


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
) -> None:
    """Start the service; Ctrl-C stops it.

    Everything else is a setting: an environment variable that begins with COHORT_, all of them in
    docs/reference/settings.md. Without COHORT_DATABASE_URL an embedded Postgres keeps the data in
    COHORT_DATA_DIR (`./var`), and starts and stops with the service. The first start writes an
    admin key to `admin.key` there.

    Examples:
    * `cohort serve`
    * `COHORT_DATA_DIR=/srv/cohort cohort serve --host 0.0.0.0 --port 8080`
    """
    # An orchestrator's stop is a good end, also before and after the server's own handling of it.
    # At first nothing is open, and an exception in the midst of the import of a compiled module
    # would come out as that module's.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # First of all: with a port that is taken, nobody should wait for models and database.
    listener = _listen(host, port)
    settings = load_settings()
    from app.cli.server import run

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        run(settings, listener)
    except KeyboardInterrupt:
        # Raised once more by the server when it has stopped in good order.
        return


def _listen(host: str, port: int) -> socket.socket:
    """Take the address, so that it is ours before the long part of the start.

    Whoever connects before its end waits for it.

    Raises:
        Failure: it can't be had.
    """
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        # Connections of a service that has just stopped must not keep the next one out.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Two that both only bind get the same address, and one would find out after its start.
        listener.listen(BACKLOG)
    except OSError as error:
        raise Failure(
            f"Can't listen on {host} port {port}: {error.strerror}.",
            hint="Another service may be there; --port names another port.",
        ) from error
    return listener
