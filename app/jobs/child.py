"""The training process: started through app/jobs/launch.py, read line by line, and ended."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import app
from app.jobs import launch

LAUNCH = Path(launch.__file__)
ROOT = Path(app.__file__).parents[1]
MAX_LINE_BYTES = 64 * 1024
KEPT_WORDS_BYTES = 8 * 1024
"""Of what the process says on standard error, its end is kept."""
MAX_REASON = 500

_FIND = (
    "import sys; from importlib.util import find_spec as find; "
    "sys.exit(find('torch') is None or find('training') is None)"
)


class TrainingFailed(Exception):
    """The process has ended without a result; the message is for people."""


async def can_train(python: str) -> bool:
    """Tell whether an interpreter has what training needs; nothing heavy is imported for it."""
    try:
        process = await asyncio.create_subprocess_exec(
            *(python, "-c", _FIND),
            env=_environment({}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return False
    return await process.wait() == 0


async def run_training(
    arguments: Sequence[str],
    *,
    python: str,
    folder: Path,
    environment: Mapping[str, str],
    memory_bytes: int,
    tell: Callable[[bytes], None],
) -> None:
    """Run `python -m training` to its end; if this is cancelled, the process is ended.

    Args:
        arguments: of `python -m training`.
        python: its interpreter.
        folder: where it works, and puts its temporary files.
        environment: variables beside those of this process.
        memory_bytes: that it, and each of its workers, may allocate.
        tell: called with each line that it writes to standard output.

    Raises:
        TrainingFailed: it ended otherwise than well.
        OSError: it can't be started.
    """
    if os.sep in python:
        # The process works in another folder than this one.
        python = str(Path(python).absolute())
    command = [
        *(python, str(LAUNCH), str(os.getpid()), str(memory_bytes)),
        *(python, "-m", "training", *arguments),
    ]
    variables = _environment({**environment, "TMPDIR": str(folder)})
    async with _process(command, folder, variables) as process:
        words, _ = await asyncio.gather(_last_words(process), _lines(process, tell))
        code = await process.wait()
    if code != 0:
        raise TrainingFailed(_reason(code, words))


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Of the process: in a checkout, `training` is found beside `app`."""
    environment = dict(os.environ) | dict(variables)
    if (ROOT / "pyproject.toml").exists():
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment


@asynccontextmanager
async def _process(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES,
        # Ctrl-C in a terminal is for the service, which ends its trainings itself.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            # What is asked to end is the launcher, which kills all others first.
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await process.wait()


async def _lines(process: asyncio.subprocess.Process, tell: Callable[[bytes], None]) -> None:
    assert process.stdout is not None  # noqa: S101  (it is a pipe)
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:  # longer than any line that is of use
            continue
        if not line:
            return
        tell(line)


async def _last_words(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None  # noqa: S101  (it is a pipe)
    words = b""
    while portion := await process.stderr.read(KEPT_WORDS_BYTES):
        words = (words + portion)[-KEPT_WORDS_BYTES:]
    return words.decode(errors="replace")


def _reason(code: int, words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    said = lines[-1][:MAX_REASON].replace("\x00", "") if lines else "it said nothing"
    if code > 128:
        return (
            f"The training process was ended by {_signal_name(code - 128)}; if nobody did that, it "
            "may need more memory (COHORT_TRAINING_MEMORY_BYTES)."
        )
    return f"The training process ended with code {code}: {said}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
