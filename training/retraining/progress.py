"""How far a retraining is, as JSON lines for the process that started it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LEAST_SECONDS = 0.3
"""Between two lines of a stage that is under way."""


class Stages:
    """Tells of stages and times them."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """Tell nothing yet.

        Args:
            write: takes one line, without its end.
        """
        self._write = write
        self._said = 0.0
        self.seconds: dict[str, float] = {}
        """Of each stage that is over."""

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Begin a stage; it is over once the block is left.

        Yields:
            What is to be called with the number of things done and that of all.
        """
        started = time.monotonic()
        self.tell(name, 0, 1)

        def progress(done: int, total: int) -> None:
            if done >= total or time.monotonic() - self._said >= LEAST_SECONDS:
                self.tell(name, done, total)

        yield progress
        self.seconds[name] = round(time.monotonic() - started, 3)

    def tell(self, name: str, done: int, total: int, message: str = "") -> None:
        """Write a line about a stage: things done, of how many, and a sentence."""
        self._said = time.monotonic()
        line = {"stage": name, "done": done, "total": total, "message": message}
        self._write(json.dumps(line))
