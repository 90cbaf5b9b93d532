"""`cohort train`: hands its arguments to the training module, in a process of its own.

Training is another program in this repository: the service never imports it, nor torch.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from app.cli.output import Failure

DATABASE_URL = "COHORT_DATABASE_URL"


def train(
    arguments: Annotated[
        list[str], typer.Argument(help="A command of `python -m training`, and its options.")
    ],
) -> None:
    """Train, offline, what large galleries are searched with.

    The same as `python -m training`, which needs the training environment. With --collection and
    without COHORT_DATABASE_URL, the database in COHORT_DATA_DIR is read; the encryption key is
    found as the service finds it.

    Examples:
    * `cohort train --help` says this, `cohort train run --help` what a run can be told
    * `cohort train run --images people/ --out RUN`
    * `cohort train run --collection default --out RUN`
    """
    if find_spec("torch") is None:
        raise Failure(
            f"Training needs torch, which {sys.executable} does not have.",
            hint="`make setup-training` builds .venv-training with it, for "
            "`.venv-training/bin/python -m training`; `pip install 'cohort[train]'` adds it here.",
        )
    command = [sys.executable, "-m", "training", *arguments]
    from_gallery = any(argument.partition("=")[0] == "--collection" for argument in arguments)
    # By environment, as the database's address: everybody may read a process's command line.
    environment = dict(os.environ)
    if from_gallery:
        from app.cli.configuration import load_settings
        from app.encryption.service import key_variables

        settings = load_settings()
        environment |= key_variables(settings)
        if settings.database_url is None:
            raise typer.Exit(_with_embedded_database(command, environment, settings.data_dir))
        # It may have come out of a file, which the other program does not look for.
        environment[DATABASE_URL] = settings.database_url.get_secret_value()
    # The same process goes on as the other program: signals and exit code are its own.
    os.execve(sys.executable, command, environment)  # noqa: S606


def _with_embedded_database(
    command: Sequence[str], environment: dict[str, str], data_dir: Path
) -> int:
    """Run a command while the data directory's own Postgres runs; give its exit code."""
    from sqlalchemy import make_url

    from app.cli.start_errors import start_errors_as_failures
    from app.embedded_postgres import EmbeddedPostgres
    from app.migrate import migrate

    with start_errors_as_failures():
        postgres = EmbeddedPostgres.start(data_dir / "postgres")
    try:
        with start_errors_as_failures():
            migrate(make_url(postgres.url).set(drivername="postgresql+psycopg"))
        return attended(command, environment | {DATABASE_URL: postgres.url})
    finally:
        postgres.stop()


def attended(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run a command that gets the signals that this process gets; give its exit code."""
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if child is None:
            early.append(number)
        elif number != signal.SIGINT:
            # Ctrl-C reaches the child by the terminal, as it does this process: once is enough.
            child.send_signal(number)

    # Before there is a child, which would go on alone if this process died right after. Ctrl-C is
    # not ignored: the child would ignore it, too.
    before = {
        number: signal.signal(number, pass_on)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        child = subprocess.Popen(command, env=environment)  # noqa: S603  (our own command)
        for number in early:
            child.send_signal(number)
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    # A shell's way to say that a signal ended it.
    return code if code >= 0 else 128 - code
