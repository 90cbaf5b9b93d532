"""A real service in a process of its own, for benchmarks to talk to over HTTP."""

import http.client
import json
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.processes import free_port

START_TIMEOUT_S = 120.0
LOG_TAIL = 4_000
"""Characters of the service's log that an error is given."""


class Answer(NamedTuple):
    """What a service answered."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: dict[str, Any]
    """Empty where the answer has none, or none in JSON."""


class Client:
    """One keep-alive connection. The standard library's client costs a tenth of a fuller one's
    processor time, which would otherwise be counted as the service's latency.
    """

    def __init__(self, port: int, key: str, *, timeout_s: float = 120) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        self._key = key

    def post(
        self, path: str, files: list[tuple[str, bytes]], fields: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Send a multipart form of JPEG pictures; give back the status and the JSON body."""
        answer = self.send_form(path, files, fields)
        return answer.status, answer.body

    def post_json(self, path: str, document: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Send JSON; give back the status and the JSON body."""
        answer = self.exchange("POST", path, json.dumps(document).encode(), "application/json")
        return answer.status, answer.body

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        answer = self.exchange("GET", path)
        return answer.status, answer.body

    def identify(self, picture: bytes, fields: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Search with one picture.

        Raises:
            RuntimeError: the answer is an error, which must not count as a quick one.
        """
        status, body = self.post("/identify", [("image", picture)], fields)
        if status != 200:
            raise RuntimeError(f"identify answered {status}: {body}")
        return body

    def send_form(
        self,
        path: str,
        files: list[tuple[str, bytes]],
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a multipart form of JPEG pictures; give back the whole answer."""
        body, boundary = multipart(files, fields or {})
        kind = f"multipart/form-data; boundary={boundary}"
        return self.exchange("POST", path, body, kind, headers)

    def exchange(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request and read its answer.

        Raises:
            OSError, http.client.HTTPException: there was none; the next request connects anew.
        """
        sent = {"Authorization": f"Bearer {self._key}", **(headers or {})}
        if content_type is not None:
            sent["Content-Type"] = content_type
        try:
            self._connection.request(method, path, body=body, headers=sent)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        received = {name.lower(): value for name, value in response.getheaders()}
        is_json = received.get("content-type", "").partition(";")[0].endswith("json")
        return Answer(response.status, received, json.loads(content) if content and is_json else {})

    def close(self) -> None:
        self._connection.close()


def multipart(files: list[tuple[str, bytes]], fields: Mapping[str, str]) -> tuple[bytes, str]:
    """Encode a form; gives its bytes and its boundary."""
    boundary = secrets.token_hex(16)
    parts = []
    for name, value in fields.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        parts.append(head.encode() + value.encode() + b"\r\n")
    for name, data in files:
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; '
            f'filename="picture.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        )
        parts.append(head.encode() + data + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), boundary


class Service:
    """A running service and how to reach it."""

    def __init__(self, port: int, key: str, pid: int) -> None:
        self.port = port
        self.key = key
        self.pid = pid

    def client(self) -> Client:
        return Client(self.port, self.key)


@contextmanager
def running_service(python: str, settings: Mapping[str, str] | None = None) -> Iterator[Service]:
    """Start `cohort serve` on a free loopback port with a data folder of its own; stop it after.

    Args:
        python: the interpreter of an environment that has Cohort's serving dependencies.
        settings: COHORT_* variables.

    Raises:
        RuntimeError: it did not become ready; the message holds what it printed.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="cohort-bench-") as folder:
        log = Path(folder) / "log"
        # Nothing of an operator's own service may leak in, least of all its database.
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("COHORT_")}
        environment = inherited | {"COHORT_DATA_DIR": folder} | dict(settings or {})
        command = [python, "-m", "app.cli", "serve", "--port", str(port)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            _wait_until_ready(process, port, log)
            key = (Path(folder) / "admin.key").read_text().strip()
            yield Service(port, key, process.pid)
        except Exception as error:
            # What the service has to say of it goes with the folder.
            error.add_note(f"The service's log ends:\n{log.read_text()[-LOG_TAIL:]}")
            raise
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the service ended at once:\n{log.read_text()}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    raise RuntimeError(f"the service was not ready in {START_TIMEOUT_S:.0f} s:\n{log.read_text()}")
