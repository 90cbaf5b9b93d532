"""Constant enrolling, deleting and identifying, with an account of all that was answered."""

import http.client
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from benchmarks.cluster import Replica
from benchmarks.drawn_pictures import drawn_pictures
from benchmarks.good_client import GoodClient, Refusal
from benchmarks.ledger import Ledger
from benchmarks.service import Answer, Client

WRITERS = 2
PAUSE_S = 0.4
"""Between two writes of a writer, and two searches at a replica: three replicas on two processors
must have room, or the load is what fails."""
DELETE_EVERY = 6
KEPT_AT_LEAST = 10
READ_TIMEOUT_S = 8.0
"""For which a search waits: a database that stands still has to be noticed first."""


@dataclass(frozen=True)
class Read:
    """A search and how it ended."""

    at: float
    replica: int
    ended: Literal["found", "from memory", "unanswered", "refused"]
    took_s: float


class Load(AbstractContextManager["Load"]):
    """Writers anywhere and a reader at each replica, while the block runs."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.ledger = Ledger()
        self.acknowledged: list[float] = []
        """When writes were."""
        self.reads: list[Read] = []
        self.errors: list[Answer] = []
        """Answers to writes that no good client should get."""
        self.failures: list[Exception] = []
        """What writers and readers themselves have died of."""
        self.more_pictures = drawn_pictures(seed=WRITERS)
        """That the writers do not use: none is enrolled twice."""
        self._replicas = replicas
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._writing = [threading.Lock() for _ in range(WRITERS)]
        self._stopped = threading.Event()
        self._clients = [GoodClient(replicas, first=number) for number in range(WRITERS)]
        self._threads = [
            *(self._thread(self._write, each) for each in range(WRITERS)),
            *(self._thread(self._read, each) for each in range(len(replicas))),
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        if self.failures:
            raise ExceptionGroup("the load itself failed", self.failures)

    def _thread(self, work: Callable[[int], None], number: int) -> threading.Thread:
        def run() -> None:
            try:
                work(number)
            except Exception as error:  # noqa: BLE001  (raised when the load is over)
                self.failures.append(error)

        return threading.Thread(target=run)

    def unanswered_writes(self) -> int:
        """Writes that were given up, each of which may be done or not."""
        return len(self.ledger.unknown) + len(self.ledger.perhaps_deleted)

    def refusals(self) -> list[Refusal]:
        """All writes that were answered 503, so far."""
        return [refusal for client in self._clients for refusal in client.refusals]

    def pause_writing(self) -> None:
        """Return when each write that was begun has been answered, or given up; none begins."""
        for lock in self._writing:
            lock.acquire()

    def resume_writing(self) -> None:
        """Let the writers go on."""
        for lock in self._writing:
            lock.release()

    def enrol(self, client: GoodClient, picture: bytes) -> Answer | None:
        """Enrol somebody new and keep account of it."""
        external_id = f"person {next(self._numbers)}"
        fields = {"allow_conflict": "true", "external_id": external_id}

        def send(to: Client, headers: Mapping[str, str]) -> Answer:
            return to.send_form("/enroll", [("images", picture)], fields, headers)

        answer = client.write(send)
        with self._lock:
            if answer is None:
                self.ledger.unknown.add(external_id)
            elif answer.status == 201:
                self.ledger.enrolled[answer.body["subject"]["subject_id"]] = picture
                self.acknowledged.append(time.monotonic())
            elif answer.body.get("code") != "no_face_enrolled":  # not every drawn picture will do
                self.errors.append(answer)
        return answer

    def _delete_oldest(self, client: GoodClient) -> None:
        with self._lock:
            subject_id = next(iter(self.ledger.enrolled))
            self.ledger.perhaps_deleted[subject_id] = self.ledger.enrolled.pop(subject_id)

        def send(to: Client, headers: Mapping[str, str]) -> Answer:
            return to.exchange("DELETE", f"/subjects/{subject_id}", headers=headers)

        answer = client.write(send)
        with self._lock:
            if answer is not None and answer.status == 204:
                self.ledger.deleted[subject_id] = self.ledger.perhaps_deleted.pop(subject_id)
                self.acknowledged.append(time.monotonic())
            elif answer is not None:
                self.errors.append(answer)

    def _write(self, number: int) -> None:
        pictures, client = drawn_pictures(seed=number), self._clients[number]
        for turn in itertools.count():
            if self._stopped.wait(PAUSE_S):
                break
            with self._writing[number]:
                if turn % DELETE_EVERY == 0 and len(self.ledger.enrolled) > KEPT_AT_LEAST:
                    self._delete_oldest(client)
                else:
                    self.enrol(client, next(pictures))
        client.close()

    def _read(self, replica: int) -> None:
        client = self._replicas[replica].client(timeout_s=READ_TIMEOUT_S)
        for picture in drawn_pictures(seed=100 + replica):
            if self._stopped.wait(PAUSE_S):
                break
            begun = time.monotonic()
            ended: Literal["found", "from memory", "unanswered", "refused"]
            try:
                answer = client.send_form("/identify", [("image", picture)], {"limit": "1"})
            except (OSError, http.client.HTTPException):
                ended = "unanswered"
            else:
                from_memory = answer.headers.get("cohort-database") == "away"
                ended = "from memory" if from_memory else "found"
                if answer.status != 200:
                    ended = "refused"
            self.reads.append(Read(begun, replica, ended, time.monotonic() - begun))
        client.close()
