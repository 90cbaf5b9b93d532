"""A service in a child process, for a while: on a free port, with its data where it is told."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from app.cli.client import Client
from app.cli.output import Failure

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0


@contextmanager
def running_service(folder: Path) -> Iterator[Client]:
    """Run a service on a free loopback port with its data in `folder`.

    Raises:
        Failure: it does not become ready; the last lines of its log say why.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "service.log"
    data = folder / "data"
    # Whatever database the user has, this one is to be its own.
    environment = {key: value for key, value in os.environ.items() if key != "COHORT_DATABASE_URL"}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  (our own command)
            [sys.executable, "-m", "app.cli", "serve", "--port", str(port)],
            env=environment | {"COHORT_DATA_DIR": str(data)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(process, url, log)
        with Client(url, (data / "admin.key").read_text().strip()) as client:
            yield client
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    with httpx.Client(base_url=url, trust_env=False) as probe:
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if probe.get("/readyz").status_code == httpx.codes.OK:
                    return
            time.sleep(0.1)
    last_words = " ".join(log.read_text(errors="replace").split("\n")[-4:]).strip()
    raise Failure(f"The service did not start: {last_words or 'it said nothing'}")
