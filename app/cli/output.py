"""Where the commands write, and the one kind of error that they end with."""

import os
import sys
from pathlib import Path

from rich.console import Console

# Answers go to stdout, so that they can be piped; what is said about the work goes to stderr.
# A line of a table must stay a line where there is no terminal whose width it would have to fit.
answers = Console(width=None if sys.stdout.isatty() else 240)
notes = Console(stderr=True)

# Exit codes, the same for every command; 2 is the command line parser's own, for wrong usage.
EXIT_NOT_ALL = 1
EXIT_FAILED = 3


def printable(path: str | Path) -> str:
    r"""Give a path as text that every file and terminal takes: bytes out of place as \xff."""
    return os.fsencode(path).decode(errors="backslashreplace")


class Failure(Exception):
    """The command can't go on; the text is one sentence for the person at the terminal."""

    def __init__(self, sentence: str, *, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint
