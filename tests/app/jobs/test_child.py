import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.jobs.child import TrainingFailed, can_train, run_training

GIB = 2**30


@pytest.fixture
def python(tmp_path: Path) -> Callable[[str], str]:
    """Make an interpreter that runs a program of ours in the place of `-m training`."""

    def make(program: str) -> str:
        (tmp_path / "program.py").write_text(program)
        interpreter = tmp_path / "python"
        interpreter.write_text(
            f'#!/bin/sh\nif [ "$1" = -m ]; then exec {sys.executable} {tmp_path}/program.py "$@"; '
            f'fi\nexec {sys.executable} "$@"\n'
        )
        interpreter.chmod(0o755)
        return str(interpreter)

    return make


async def run(python: str, folder: Path) -> list[bytes]:
    lines: list[bytes] = []
    await run_training(
        ["retrain", "--seed", "7"],
        python=python,
        folder=folder,
        environment={"COHORT_DATABASE_URL": "postgresql://there"},
        memory_bytes=GIB,
        tell=lines.append,
    )
    return lines


async def test_lines_arrive_and_the_process_knows_where_it_is(
    python: Callable[[str], str], tmp_path: Path
) -> None:
    program = (
        "import os, sys\n"
        "print(*sys.argv[1:])\n"
        "print(os.getcwd(), os.environ['TMPDIR'], os.environ['COHORT_DATABASE_URL'])\n"
        "print('x' * 200_000)\n"
        "print('end')\n"
    )
    folder = tmp_path / "work"
    folder.mkdir()
    lines = await run(python(program), folder)
    assert lines[0] == b"-m training retrain --seed 7\n"
    assert lines[1].decode().split() == [str(folder), str(folder), "postgresql://there"]
    # A line without end is no reason to stop reading, or to stop the process by not reading.
    assert lines[-1] == b"end\n"


async def test_its_last_words_are_the_reason(python: Callable[[str], str], tmp_path: Path) -> None:
    program = "import sys\nprint('a', 'b\\n', file=sys.stderr)\nsys.exit('training: no room\\n')\n"
    with pytest.raises(TrainingFailed, match=r"ended with code 1: training: no room$"):
        await run(python(program), tmp_path)
    with pytest.raises(TrainingFailed, match=r"ended with code 3: it said nothing$"):
        await run(python("import sys; sys.exit(3)"), tmp_path)


async def test_a_signal_is_named(python: Callable[[str], str], tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="was ended by SIGKILL"):
        await run(python("import os; os.kill(os.getpid(), 9)"), tmp_path)


async def test_cancelling_ends_the_process(python: Callable[[str], str], tmp_path: Path) -> None:
    program = (
        "import pathlib, time\n"
        "while True:\n"
        "    pathlib.Path('beat').write_text(str(time.time()))\n"
        "    time.sleep(0.01)\n"
    )
    task = asyncio.create_task(run(python(program), tmp_path))
    beat = tmp_path / "beat"
    async with asyncio.timeout(20):
        while not beat.exists():
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    last = beat.stat().st_mtime_ns
    await asyncio.sleep(0.1)
    assert beat.stat().st_mtime_ns == last


async def test_the_real_command_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="ended with code 2: "):
        await run_training(
            ["retrain", "--what"],
            python=sys.executable,
            folder=tmp_path,
            environment={},
            memory_bytes=4 * GIB,
            tell=lambda _line: None,
        )


async def test_an_interpreter_that_is_none_can_not_train(tmp_path: Path) -> None:
    assert not await can_train(str(tmp_path / "python"))
    assert not await can_train("/bin/false")
