"""`python -m training`, which sends itself and its workers a signal at a certain line of its own.

Whoever waited for the line from outside would come too late now and then: the next stage takes a
tenth of a second.

    python -m tests.training.cli.signalled MARKER SIGNAL ARGUMENT...
"""

import os
import re
import signal
import sys
from typing import TextIO

from training.cli import main


class Signalling:
    """Standard error, and a signal to the process group once a line of it matches."""

    def __init__(self, stream: TextIO, marker: str, number: signal.Signals) -> None:
        self._stream = stream
        self._marker: str | None = marker
        self._number = number

    def write(self, text: str) -> int:
        count = self._stream.write(text)
        self._stream.flush()
        if self._marker and any(re.match(self._marker, line) for line in text.splitlines()):
            self._marker = None  # interrupted, the console says the line again
            os.killpg(0, self._number)
        return count

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


if __name__ == "__main__":
    program, marker, name, *arguments = sys.argv
    sys.stderr = Signalling(sys.stderr, marker, signal.Signals[name])
    sys.argv = [program, *arguments]
    main()
