"""`cohort encryption`: new keys for what is stored encrypted."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from app.cli.configuration import load_settings
from app.cli.output import Failure, notes
from app.cli.with_database import with_database

if TYPE_CHECKING:
    from app.database import Database

commands = typer.Typer(
    no_args_is_help=True,
    help="""Change the keys that templates and pictures are encrypted with.

    Contents are encrypted with a data key, which is in the database; that one is encrypted with the
    master key, which is not. This works on the database itself: set COHORT_DATA_DIR or
    COHORT_DATABASE_URL, and the master key, as the service has them.

    Examples:

    * `cohort encryption rotate-master --to new.key`
    * `cohort encryption rotate`
    """,
)


@commands.command("rotate-master")
def rotate_master(
    to: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="File of the new master key; made, for its owner alone, if new."
        ),
    ],
) -> None:
    """Encrypt the data keys with another master key: quick, whatever is stored.

    Services that run go on; from then on they start only with the new key. Contents stay as they
    are: where the data keys themselves may be known to others, `rotate` must follow.

    Examples:
    * `cohort encryption rotate-master --to /run/secrets/cohort-2027.key`
    """
    from app.encryption import rotation, service
    from app.private_files import write_private
    from vault.master import MasterKeyInvalid, read_key_file, write_master_key
    from vault.vault import KEY_BYTES

    if not to.exists():
        try:
            write_private(to, write_master_key(os.urandom(KEY_BYTES)))
        except OSError as error:
            raise Failure(f"{to} can't be written: {error.strerror}.") from error
    try:
        new = read_key_file(to)
    except MasterKeyInvalid as error:
        raise Failure(f"{error}.", hint="`openssl rand -base64 32` makes a key.") from error

    settings = load_settings()

    async def work(database: "Database") -> int:
        await service.open_vault(database, settings)
        old = service.master_key(settings)
        if old == new:
            raise Failure(f"{to} holds the master key that is in use.")
        return await rotation.rotate_master(database, old=old, new=new)

    count = with_database(work)
    notes.print(f"{count} data key{'' if count == 1 else 's'} encrypted with the new master key")
    notes.print(
        Text(
            f"Restart all services, workers too, with COHORT_ENCRYPTION_KEY_FILE={to.resolve()}: "
            "the old key opens nothing any more. Keep the old one for as long as backups that were "
            "made with it."
        ),
        soft_wrap=True,
    )


@commands.command()
def rotate() -> None:
    """Encrypt everything that is stored with a new data key, while the service runs.

    If it is ended before, call it again: it goes on. In the end the old data key is deleted, and
    what was encrypted with it can't be opened by anybody any more, but for backups.

    Examples:
    * `cohort encryption rotate`
    """
    from app.encryption import rotation, service
    from app.encryption.plain import seal_what_is_plain

    settings = load_settings()
    columns = (TextColumn("encrypting anew"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=notes, transient=True) as progress:
        shown = progress.add_task("", total=None)

        async def work(database: "Database") -> int:
            await seal_what_is_plain(database, await service.open_vault(database, settings))
            return await rotation.rotate(
                database,
                service.master_key(settings),
                lambda told: progress.update(shown, completed=told.sealed, total=told.total),
            )

        try:
            key_id = with_database(work)
        except rotation.RotationUnfinished as error:
            raise Failure(
                f"The rotation is not finished: {error}.",
                hint="What can't be opened was named above: delete it. Start services again that "
                "have run since `rotate-master`. Then call this again.",
            ) from error
    notes.print(f"everything is encrypted with data key {key_id}; older ones are deleted")
