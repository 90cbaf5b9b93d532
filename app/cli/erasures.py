"""`cohort erasures`: the receipts of whom was deleted, to be kept apart from backups."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from app.cli.output import Failure, notes, printable

commands = typer.Typer(
    no_args_is_help=True,
    help="""Keep the receipts of erasures apart from backups.

    Examples:

    * `cohort erasures export /backups/erasures.ndjson`
    """,
)


@commands.callback()
def erasures() -> None:
    """Keep `export` a word of its own: a group of one command would swallow it."""


@commands.command()
def export(
    file: Annotated[Path, typer.Argument(help="Is written anew, readable by you only.")],
) -> None:
    """Write the receipts of all erasures, each a line of JSON, for `cohort restore --erasures`.

    They tell ids and times and nobody's name. Write them often, and to another disk than the
    database's: a backup brings back whoever was deleted since, and only they tell who that is.

    Examples:
    * `cohort erasures export /backups/erasures.ndjson`
    """
    from app.backup.receipts import receipt_lines
    from app.cli.with_database import with_database
    from app.private_files import write_private

    lines = with_database(receipt_lines)
    try:
        write_private(file, "\n".join(lines))
    except OSError as error:
        raise Failure(f"{printable(file)} can't be written: {error.strerror}.") from error
    notes.print(Text(f"{len(lines)} receipts in {printable(file)}"), soft_wrap=True)
