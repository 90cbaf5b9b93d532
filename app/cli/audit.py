"""`cohort audit`: the audit log, read directly in the database."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from app.cli.output import Failure, notes, printable
from app.cli.with_database import with_database

if TYPE_CHECKING:
    from app.database import Database

commands = typer.Typer(
    no_args_is_help=True,
    help="""Export the audit log.

    This works on the database itself, whether or not a service runs on it: set
    COHORT_DATA_DIR or COHORT_DATABASE_URL as the service has them.

    Examples:

    * `cohort audit export audit.ndjson`
    """,
)
STDOUT = Path("-")


@commands.callback()
def audit() -> None:
    """Keep `export` a word of its own: a group of one command would swallow it."""


@commands.command()
def export(
    file: Annotated[
        Path, typer.Argument(help="Is made, readable by you only; - is standard output.")
    ],
) -> None:
    """Write all entries of the audit log, one a line as JSON, the newest first.

    Examples:
    * `cohort audit export audit-2026-01.ndjson`
    * `cohort audit export - | gzip > audit.ndjson.gz`
    """
    if file == STDOUT:
        with_database(lambda database: _write(database, sys.stdout.fileno()))
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Failure(
            f"Can't write {printable(file)}: {error.strerror}.",
            hint="An export does not replace a file that is there.",
        ) from error
    try:
        count = with_database(lambda database: _write(database, descriptor))
        os.fsync(descriptor)
    except BaseException:
        file.unlink()  # half an export looks like a whole one
        raise
    finally:
        os.close(descriptor)
    notes.print(Text(f"{count} entries in {printable(file)}"), soft_wrap=True)


async def _write(database: "Database", descriptor: int) -> int:
    from app.audit.repository import Wanted
    from app.audit.service import export_entries

    count = 0
    with os.fdopen(descriptor, "wb", closefd=False) as out:
        async for lines in export_entries(wanted=Wanted(), database=database):
            out.write(lines)
            count += lines.count(b"\n")
    return count
