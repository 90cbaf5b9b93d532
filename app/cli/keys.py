"""`cohort keys`: API keys, made, rotated and revoked directly in the database."""

import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from app.cli.output import Failure, answers, notes
from app.cli.with_database import with_database

if TYPE_CHECKING:
    from app.keys.service import ApiKey

commands = typer.Typer(
    no_args_is_help=True,
    help="""Make, list, rotate and revoke API keys.

    This works on the database itself, whether or not a service runs on it: set
    COHORT_DATA_DIR or COHORT_DATABASE_URL as the service has them.

    Examples:

    * `cohort keys create --name door --scope identify --collection staff --expires 90d`
    * `cohort keys list`
    * `cohort keys rotate 1a2b3c4d --overlap 24h`
    * `cohort keys revoke 1a2b3c4d`
    """,
)


class ScopeName(StrEnum):
    """What a key is good for."""

    IDENTIFY = "identify"
    ENROLL = "enroll"
    METRICS = "metrics"
    ADMIN = "admin"


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = timedelta(days=36500)


def _duration(text: str) -> timedelta:
    """Read `90d`, `24h`, `30m` or `45s`."""
    match = re.fullmatch(r"(\d{1,12})([smhd])", text)
    if match is None or int(match[1]) * _SECONDS[match[2]] > _LONGEST.total_seconds():
        raise typer.BadParameter("should be a number and one of s, m, h and d, such as 90d")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def _rate(text: str) -> str:
    from app.keys.rate import check_rate

    try:
        return check_rate(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


KeyId = Annotated[str, typer.Argument(metavar="ID", help="The id that `list` shows.")]


@commands.command()
def create(
    name: Annotated[str, typer.Option(help="What people call it, such as where it is used.")],
    scope: Annotated[
        list[ScopeName],
        typer.Option(
            help="What it is good for, once or more: identify searches and reads, enroll changes "
            "subjects, metrics reads the metrics, admin does everything."
        ),
    ],
    collection: Annotated[
        list[str] | None,
        typer.Option(help="A collection that it is good for, once or more; without it, all."),
    ] = None,
    expires: Annotated[
        timedelta | None,
        typer.Option(
            parser=_duration, metavar="TIME", help="After how long it ends, such as 90d or 24h."
        ),
    ] = None,
    rate_limit: Annotated[
        str | None,
        typer.Option(
            parser=_rate,
            metavar="RATE",
            help="Calls that it may make, such as 600/minute; without it, COHORT_RATE_LIMIT.",
        ),
    ] = None,
) -> None:
    """Make a key. It is shown this once: only its hash is kept.

    Examples:
    * `cohort keys create --name door --scope identify --collection staff --expires 90d`
    * `export COHORT_API_KEY=$(cohort keys create --name import --scope enroll --scope identify)`
    """
    from app.keys import service

    try:
        token, key = with_database(
            lambda database: service.create_key(
                database,
                name=name,
                scopes=[one.value for one in scope],
                collections=collection or None,
                rate_limit=rate_limit,
                expires=expires,
            )
        )
    except service.UnknownCollections as error:
        raise Failure(
            f"There is no collection {error}.", hint="Make it with POST /collections first."
        ) from error
    _show_new(token, key)


@commands.command("list")
def list_keys() -> None:
    """List all keys, the revoked ones too, oldest first.

    `last used` is up to a minute behind.

    Examples:
    * `cohort keys list`
    """
    from app.keys import service

    columns = ("id", "name", "scopes", "collections", "rate", "created", "last used", "expires")
    table = Table(*columns, "revoked", box=None)
    for key in with_database(service.list_keys):
        table.add_row(
            key.key_id,
            Text(key.name),
            ", ".join(key.scopes),
            Text(_collections(key)),
            key.rate_limit or "-",
            *(
                _time(each)
                for each in (key.created_at, key.last_used_at, key.expires_at, key.revoked_at)
            ),
        )
    answers.print(table)


@commands.command()
def rotate(
    key_id: KeyId,
    overlap: Annotated[
        timedelta,
        typer.Option(
            parser=_duration, metavar="TIME", help="For how long the old key goes on working."
        ),
    ] = "24h",  # type: ignore[assignment]  # (read by the parser, as what is typed)
) -> None:
    """Make a key that takes the place of another one, with the same rights.

    The old one expires after the overlap; in the meantime its users are given the new one. A key
    with an end is followed by one that lasts as long.

    Examples:
    * `cohort keys rotate 1a2b3c4d`
    * `cohort keys rotate 1a2b3c4d --overlap 0s`
    """
    from app.keys import service

    try:
        token, new, old = with_database(
            lambda database: service.rotate_key(database, key_id=key_id, overlap=overlap)
        )
    except service.KeyNotFound as error:
        raise _unknown(key_id) from error
    except service.KeyUnusable as error:
        raise Failure(
            f"The key {key_id} is revoked or expired: there is nothing to take over.",
            hint="`cohort keys create` makes a new one.",
        ) from error
    _show_new(token, new)
    notes.print(f"{old.key_id} expires {_time(old.expires_at)}")


@commands.command()
def revoke(key_id: KeyId) -> None:
    """Revoke a key. A running service may take it a few seconds more (COHORT_KEY_CACHE_S).

    Examples:
    * `cohort keys revoke 1a2b3c4d`
    """
    from app.keys import service

    try:
        with_database(lambda database: service.revoke_key(database, key_id=key_id))
    except service.KeyNotFound as error:
        raise _unknown(key_id) from error
    notes.print(f"revoked {key_id}")


def _show_new(token: str, key: "ApiKey") -> None:
    # The token alone on stdout, so that it can go straight into a variable.
    typer.echo(token)
    told = f"key {key.key_id} ({key.name}) for {', '.join(key.scopes)}"
    if key.collections is not None:
        told += f" in {_collections(key)}"
    if key.expires_at is not None:
        told += f", until {_time(key.expires_at)}"
    notes.print(Text(told), soft_wrap=True)
    notes.print("Keep it now: it can't be shown again.")


def _collections(key: "ApiKey") -> str:
    return "all" if key.collections is None else ", ".join(key.collections)


def _time(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M %Z}" if time else "-"


def _unknown(key_id: str) -> Failure:
    return Failure(f"There is no key {key_id}.", hint="`cohort keys list` shows their ids.")
