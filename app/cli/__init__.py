"""The command `cohort`: one module a command.

What is heavy (the web framework, the models, the database) is imported inside the command that
needs it, so that `cohort --help` answers at once.
"""

from collections.abc import Sequence
from typing import NoReturn

import typer
from rich.text import Text

from app.cli import (
    audit,
    backup,
    demo,
    doctor,
    embedder,
    encryption,
    erasures,
    identify,
    importing,
    keys,
    openapi,
    purge,
    serve,
    train,
    worker,
)
from app.cli.output import EXIT_FAILED, Failure, notes

cli = typer.Typer(
    name="cohort",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    # A bug shows Python's own traceback; typer's prints local variables, and those hold keys.
    pretty_exceptions_enable=False,
    help="""Name the faces in a picture, or say that they are of nobody known.

    A first round:

    * `cohort serve` starts the service; its documentation is at `/docs`.
    * `cohort import people/` enrols one folder a person.
    * `cohort identify party.jpg` names the faces of a picture.
    * `cohort keys create --name door --scope identify` makes a key for a program.

    `cohort demo` shows all of it on a few pictures and leaves nothing behind.

    Exit codes: 0 all done, 1 done but something was refused or missed, 2 wrong usage,
    3 could not be done.
    """,
)
cli.command("serve")(serve.serve)
cli.command("worker")(worker.worker)
cli.command("import")(importing.import_pictures)
cli.command("identify")(identify.identify)
cli.add_typer(keys.commands, name="keys")
cli.add_typer(encryption.commands, name="encryption")
cli.add_typer(embedder.commands, name="embedder")
cli.add_typer(audit.commands, name="audit")
cli.command("doctor")(doctor.doctor)
cli.command("backup")(backup.backup)
cli.command("restore")(backup.restore)
cli.add_typer(erasures.commands, name="erasures")
cli.command("purge")(purge.purge)
cli.command("demo")(demo.demo)
cli.command("openapi")(openapi.openapi)
# Options after the first word are the other program's.
cli.command("train", context_settings={"allow_interspersed_args": False})(train.train)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code.

    Args:
        arguments: what stands after `cohort`; None takes the process's own.
    """
    try:
        cli(args=None if arguments is None else list(arguments), prog_name="cohort")
    except Failure as failure:
        # Not wrapped: a path that is broken in two can't be copied.
        notes.print(Text.assemble(("cohort: ", "bold red"), failure.sentence), soft_wrap=True)
        if failure.hint:
            notes.print(Text(f"        {failure.hint}", style="dim"), soft_wrap=True)
        raise SystemExit(EXIT_FAILED) from None
    raise SystemExit(0)
