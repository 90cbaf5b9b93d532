"""How far the work is: a bar a stage on a terminal, plain lines elsewhere, all on stderr."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

STEPS = 10
"""Lines a stage, where there is no terminal."""

answers = Console(soft_wrap=True, highlight=False)
notes = Console(stderr=True, soft_wrap=True, highlight=False)


@contextmanager
def bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show one stage at work.

    Args:
        name: of the stage.

    Yields:
        What is to be called with the number of things done and that of all.
    """
    if not notes.is_terminal:
        yield _lines(name)
        return
    columns = (TextColumn(f"{name:11}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=notes, transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def tell(name: str, how: str, note: str) -> None:
    """Say how a stage ended, in one line that stays."""
    notes.print(f"{name:11} {how:>8}  {note}", markup=False)


def elapsed(since: float) -> str:
    """Hours, minutes and seconds since a moment of `time.monotonic`."""
    return str(timedelta(seconds=round(time.monotonic() - since)))


def _lines(name: str) -> Callable[[int, int], None]:
    said = -1

    def report(done: int, total: int) -> None:
        nonlocal said
        step = STEPS * done // max(total, 1)
        if step != said:
            said = step
            notes.print(f"{name}: {done} of {total}", markup=False)

    return report
