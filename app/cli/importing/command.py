"""The command line of `cohort import`, and what it says in the end."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from app.cli.client import DEFAULT_URL, Client, CollectionOption, KeyOption, UrlOption, find_key
from app.cli.importing.journal import FileState, Journal
from app.cli.importing.report import counts_table, reasons_table, write_rejections
from app.cli.importing.run import run
from app.cli.importing.sources import Source, read_csv, read_folders
from app.cli.importing.upload import Target
from app.cli.output import EXIT_NOT_ALL, answers, notes, printable

EXIT_INTERRUPTED = 130


class Select(StrEnum):
    """Which face of a picture with several is meant."""

    LARGEST = "largest"
    CENTER = "center"


def import_pictures(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="One folder a person in it; with --csv, where its relative paths start.",
            show_default=False,
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv", help="A row a picture: path,external_id,name and columns for metadata."
        ),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = "",
    collection: CollectionOption = "default",
    select: Annotated[
        Select | None,
        typer.Option(help="Take this face where a picture shows several; else it is rejected."),
    ] = None,
    allow_conflict: Annotated[
        bool,
        typer.Option("--allow-conflict", help="Enrol also who looks like another subject."),
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Uploads at the same time.")] = 4,
    journal: Annotated[
        Path | None,
        typer.Option(
            help="What became of each file.  [default: cohort-import-NAME.jsonl]",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="What was rejected: .csv or .jsonl.  [default: cohort-import-NAME-rejected.csv]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Enrol many people: one folder a person, or a CSV.

    The folder's name becomes the subject's external_id. A subject that is there already gets
    the pictures added. The journal remembers what became of each file: after an interruption,
    run the same command again and it continues; a file that has changed is sent again.

    Examples:
    * `cohort import people/` where `people/ada/1.jpg`, `people/ada/2.jpg`, `people/grace/1.png`
    * `cohort import --csv staff.csv --collection staff`
    * `cohort import people/ --select largest --report rejected.jsonl`

    Exit code 0: every picture is enrolled or was already there; 1: some were rejected, and the
    report says which and why; 3: the service could not be used.
    """
    if report is not None and report.suffix not in (".csv", ".jsonl"):
        raise typer.BadParameter("the report's name ends in .csv or .jsonl", param_hint="--report")
    if csv is not None:
        source = read_csv(csv, folder or csv.parent)
        name = csv.stem
    elif folder is not None:
        source = read_folders(folder)
        name = folder.resolve().name
    else:
        raise typer.BadParameter("name a folder, or a CSV with --csv")
    fields: dict[str, str] = {}
    if select is not None:
        fields["select"] = select.value
    if allow_conflict:
        fields["allow_conflict"] = "true"
    with Client(url, find_key(key)) as client:
        client.check_reachable()
        log = Journal.open(
            journal or Path(f"cohort-import-{name}.jsonl"),
            url=client.url,
            collection=collection,
            root=source.root,
        )
        try:
            sent = run(Target(client, collection, fields), source, log, parallel=parallel)
        except KeyboardInterrupt:
            notes.print("Stopped. The same command continues where this one ended.")
            raise typer.Exit(EXIT_INTERRUPTED) from None
    notes.print(f"sent now: {sent} of {source.file_count} pictures")
    _conclude(source, log, report or Path(f"cohort-import-{name}-rejected.csv"))


def _conclude(source: Source, journal: Journal, report: Path) -> None:
    """Say what the whole import has come to, this run and earlier ones together."""
    found = (
        journal.find(file, FileState.of(source.root / file))
        for subject in source.subjects
        for file in subject.files
    )
    entries = [entry for entry in found if entry is not None]
    rejected = [entry for entry in entries if entry.status == "rejected"]
    answers.print(counts_table(entries, file_count=source.file_count))
    if source.ignored_files:
        notes.print(f"files left because of their names: {source.ignored_files}")
    if source.unnameable:
        count, example = len(source.unnameable), source.unnameable[0]
        notes.print(
            Text(f"pictures left because their names are not UTF-8: {count}, such as {example}"),
            soft_wrap=True,
        )
        notes.print("Give them other names and run the same command again.")
    notes.print(Text(f"journal: {printable(journal.path)}"))
    if rejected:
        answers.print()
        answers.print(reasons_table(rejected))
        write_rejections(report, rejected)
        notes.print(Text(f"rejected pictures: {printable(report)}"))
    if rejected or source.unnameable or len(entries) < source.file_count:
        raise typer.Exit(EXIT_NOT_ALL)
