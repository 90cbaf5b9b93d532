"""A client as it should be: goes to the next replica, waits as it is told, sends a write once more.

Each write has an `Idempotency-Key`, so that it can be sent until it is answered: done at last, or
for certain not, and never twice.
"""

import http.client
import itertools
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.cluster import Replica
from benchmarks.service import Answer, Client

PATIENCE_S = 90.0
"""Then a write that nobody has answered is given up: it may be done or not."""
TIMEOUT_S = 10.0
PAUSE_S = 0.3
"""Before the next replica is asked, where one did not say how long to wait."""

Write = Callable[[Client, Mapping[str, str]], Answer]


@dataclass(frozen=True)
class Refusal:
    """A write that was answered 503."""

    at: float
    code: str
    says_when: bool
    """Whether there was a `Retry-After`."""
    took_s: float


class GoodClient:
    """Writes at whichever replica answers; for one thread."""

    def __init__(self, replicas: Sequence[Replica], first: int = 0) -> None:
        self.refusals: list[Refusal] = []
        clients = [replica.client(timeout_s=TIMEOUT_S) for replica in replicas]
        self._clients = clients
        self._next = itertools.cycle(clients[first:] + clients[:first])

    def write(self, send: Write) -> Answer | None:
        """Send a write until it is answered; None if it was not for `PATIENCE_S`.

        Args:
            send: sends it, with some headers, to the replica that it is given.
        """
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            begun = time.monotonic()
            try:
                answer = send(next(self._next), headers)
            except (OSError, http.client.HTTPException):
                time.sleep(PAUSE_S)
                continue
            if not is_to_be_repeated(answer):
                return answer
            if answer.status == 503:
                says_when = answer.headers.get("retry-after", "").isdecimal()
                took_s = time.monotonic() - begun
                self.refusals.append(Refusal(begun, answer.body["code"], says_when, took_s))
            time.sleep(float(answer.headers.get("retry-after", PAUSE_S)))
        return None

    def close(self) -> None:
        """Leave all replicas."""
        for client in self._clients:
            client.close()


def is_to_be_repeated(answer: Answer) -> bool:
    """Whether the same request may be answered otherwise in a moment."""
    return answer.status in (429, 503) or answer.body.get("code") == "request_in_progress"
