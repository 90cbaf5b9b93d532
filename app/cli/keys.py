"""`cohort keys`: API keys, made and revoked directly in the database."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.table import Table
from rich.text import Text

from app.cli.configuration import load_settings
from app.cli.output import Failure, answers, notes

if TYPE_CHECKING:
    from app.database import Database

Result = TypeVar("Result")

commands = typer.Typer(
    no_args_is_help=True,
    help="""Make, list and revoke API keys.

    This works on the database itself, whether or not a service runs on it: set
    COHORT_DATA_DIR or COHORT_DATABASE_URL as the service has them.

    Examples:

    * `cohort keys create --name door --scope identify`
    * `cohort keys list`
    * `cohort keys revoke 1a2b3c4d`
    """,
)


class ScopeName(StrEnum):
    """What a key is good for."""

    IDENTIFY = "identify"
    ENROLL = "enroll"
    ADMIN = "admin"


@commands.command()
def create(
    name: Annotated[str, typer.Option(help="What people call it, such as where it is used.")],
    scope: Annotated[
        list[ScopeName],
        typer.Option(
            help="What it is good for, once or more: identify searches and reads, enroll changes "
            "subjects, admin does everything."
        ),
    ],
) -> None:
    """Make a key. It is shown this once: only its hash is kept.

    Examples:
    * `cohort keys create --name door --scope identify`
    * `export COHORT_API_KEY=$(cohort keys create --name import --scope enroll --scope identify)`
    """
    from app.keys import service

    token, key = _with_database(
        lambda database: service.create_key(
            database, name=name, scopes=[one.value for one in scope]
        )
    )
    # The token alone on stdout, so that it can go straight into a variable.
    typer.echo(token)
    notes.print(Text(f"key {key.key_id} ({key.name}) for {', '.join(key.scopes)}"))
    notes.print("Keep it now: it can't be shown again.")


@commands.command("list")
def list_keys() -> None:
    """List all keys, the revoked ones too, oldest first.

    Examples:
    * `cohort keys list`
    """
    from app.keys import service

    table = Table("id", "name", "scopes", "created", "revoked", box=None)
    for key in _with_database(service.list_keys):
        revoked = f"{key.revoked_at:%Y-%m-%d %H:%M %Z}" if key.revoked_at else "-"
        created = f"{key.created_at:%Y-%m-%d %H:%M %Z}"
        table.add_row(key.key_id, Text(key.name), ", ".join(key.scopes), created, revoked)
    answers.print(table)


@commands.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id that `list` shows.")],
) -> None:
    """Revoke a key. A running service may take it a few seconds more (COHORT_KEY_CACHE_S).

    Examples:
    * `cohort keys revoke 1a2b3c4d`
    """
    from app.keys import service

    try:
        _with_database(lambda database: service.revoke_key(database, key_id=key_id))
    except service.KeyNotFound as error:
        raise Failure(
            f"There is no key {key_id}.", hint="`cohort keys list` shows their ids."
        ) from error
    notes.print(f"revoked {key_id}")


def _with_database(work: Callable[["Database"], Awaitable[Result]]) -> Result:
    from app.cli.start_errors import start_errors_as_failures
    from app.database import opened_database
    from app.logs import configure_logs

    settings = load_settings()
    configure_logs("WARNING")

    async def run() -> Result:
        async with opened_database(settings) as database:
            return await work(database)

    with start_errors_as_failures():
        return asyncio.run(run())
