"""`cohort embedder`: the change of a collection's embedder, while services run."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from app.cli.configuration import load_settings
from app.cli.output import Failure, notes

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.embedders.change import Changed
    from app.embedders.repository import Counts

commands = typer.Typer(
    no_args_is_help=True,
    help="""Change the embedder of a collection.

    This works on the database itself: set COHORT_DATA_DIR or COHORT_DATABASE_URL, the master key,
    COHORT_EMBEDDER and COHORT_FURTHER_EMBEDDERS as the services have them.

    Examples:

    * `cohort embedder change staff --to my-net`
    """,
)


@commands.command()
def change(
    collection: Annotated[str, typer.Argument(help="Name of the collection.")],
    to: Annotated[str, typer.Option(metavar="NAME", help="Name of the other embedder.")],
) -> None:
    """Make the templates of a collection anew from its kept pictures, by another embedder.

    Services go on answering by the present one until all is made, and by the other one from then
    on. What is enrolled meanwhile is made, too. If it is ended before, call it again: it goes on.
    All services and workers must run both embedders. Without kept pictures it says what is
    possible.

    Examples:
    * `cohort embedder change staff --to my-net`
    """
    import asyncio

    columns = (TextColumn("templates made"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=notes, transient=True) as progress:
        shown = progress.add_task("", total=None)
        changed = asyncio.run(
            _change(
                collection,
                to,
                lambda counts: progress.update(shown, completed=counts.done, total=counts.total),
            )
        )
    notes.print(f"{collection} has the embedder {to}: {changed.samples} samples")
    notes.print(
        f"verdicts deleted, as their faces have no pictures: {changed.verdicts_deleted}; it is "
        "searched without a bundle until it is retrained",
        soft_wrap=True,
    )


async def _change(collection: str, to: str, tell: "Callable[[Counts], None]") -> "Changed":
    from app.cli.start_errors import start_errors_as_failures
    from app.database import opened_database
    from app.embedders.change import change_embedder
    from app.embedders.refusals import ChangeRefused
    from app.embedders.running import Embedders
    from app.encryption.service import opened_vault
    from app.logs import configure_logs
    from app.main import open_query_path

    settings = load_settings()
    configure_logs("WARNING")
    with start_errors_as_failures():
        embedders = Embedders.open(settings, open_query_path)
        async with opened_database(settings) as database, opened_vault(database, settings) as vault:
            try:
                return await change_embedder(
                    collection,
                    to,
                    database=database,
                    vault=vault,
                    embedders=embedders,
                    workers=settings.inference_workers,
                    tell=tell,
                )
            except ChangeRefused as refused:
                raise Failure(str(refused), hint=refused.hint) from refused
