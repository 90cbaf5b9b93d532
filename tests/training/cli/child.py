"""`python -m training` in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment() -> dict[str, str]:
    """The process's own, but for settings of the service; one thread, wherever this runs."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COHORT_")}
    return kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def training(*arguments: str | Path, **settings: str) -> Done:
    """Run a command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "training", *map(str, arguments)],
        cwd=ROOT,
        env=environment() | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def refused(*arguments: str | Path, **settings: str) -> str:
    """The one sentence with which a command ends that can't be done."""
    done = training(*arguments, **settings)
    lines = [line for line in done.err.splitlines() if line.startswith("training: ")]
    assert "Traceback" not in done.err, done.err
    assert (done.code, len(lines), done.out) == (3, 1, ""), done
    assert done.err.splitlines()[-1] == lines[0]
    return lines[0].removeprefix("training: ")


@contextmanager
def signalled(marker: str, name: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Start a command that sends its group a signal at the first line on stderr that matches."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.training.cli.signalled", marker, name, *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        yield child


def killed_at(marker: str, *arguments: str | Path) -> None:
    """Run a command that is killed, and its workers, at the first line on stderr that matches."""
    with signalled(marker, "SIGKILL", *arguments) as child:
        _, said = child.communicate()
    assert child.returncode == -signal.SIGKILL, f"no line like {marker}: {said}"
