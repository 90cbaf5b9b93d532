"""`cohort identify`: name the faces of picture files, as a table."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from app.cli.client import (
    DEFAULT_URL,
    Client,
    CollectionOption,
    KeyOption,
    Refusal,
    UrlOption,
    find_key,
)
from app.cli.output import EXIT_NOT_ALL, Failure, answers, printable

NOTHING = "-"


def identify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures.")],
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = "",
    collection: CollectionOption = "default",
    max_fpir: Annotated[
        float | None,
        typer.Option(
            min=1e-5,
            max=0.5,
            help="At most this share of strangers may be taken for somebody.  "
            "[default: the service's]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Name the faces in pictures, one line a face, largest face first.

    `score` is the nearest subject's; a face is a `match` when it reaches `threshold`, which
    follows from --max-fpir and from the size of the collection.

    Examples:
    * `cohort identify party.jpg`
    * `cohort identify --max-fpir 0.001 --collection staff door/*.jpg`

    Exit code 0: every file was looked at; 1: some were refused, and the table says why.
    """
    for path in files:
        _check(path)
    fields = {"collection": collection}
    if max_fpir is not None:
        fields["max_fpir"] = str(max_fpir)
    table = Table(box=None)
    table.add_column("file", overflow="fold")
    table.add_column("face", justify="right")
    table.add_column("decision")
    table.add_column("name", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("threshold", justify="right")
    refused = False
    with Client(url, find_key(key)) as client:
        client.check_reachable()
        for path in files:
            name = printable(path)
            try:
                answer = client.identify(printable(path.name), _read(path), **fields)
            except Refusal as refusal:
                refused = True
                table.add_row(name, NOTHING, "refused", refusal.detail, NOTHING, NOTHING)
            else:
                for row in _rows(answer):
                    table.add_row(name, *row)
    answers.print(table)
    if refused:
        raise typer.Exit(EXIT_NOT_ALL)


def _rows(answer: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Face number, decision, name, score and threshold of each face."""
    threshold = f"{answer['threshold']:.3f}"
    rows = []
    for number, face in enumerate(answer["faces"], start=1):
        candidates = face["candidates"]
        score = f"{candidates[0]['score']:.3f}" if candidates else NOTHING
        name = _who(face, answer["threshold"])
        rows.append((str(number), str(face["decision"]), name, score, threshold))
    return rows or [(NOTHING, "no face", NOTHING, NOTHING, threshold)]


def _who(face: dict[str, Any], threshold: float) -> str:
    """The name; of an ambiguous face all names that it may have."""
    match face["decision"]:
        case "match":
            return display_name(face["best"])
        case "ambiguous":
            alike = [
                each
                for each in face["candidates"]
                if each["score"] >= threshold and not each["rejected"]
            ]
            return " or ".join(display_name(each) for each in alike)
        case _:
            return NOTHING


def display_name(candidate: dict[str, Any]) -> str:
    """What to call a subject: its name, or else the id that its owner gave it, or else ours."""
    return str(candidate["name"] or candidate["external_id"] or candidate["subject_id"])


def _check(path: Path) -> None:
    """Say before the first call that a file can't be read; its content is not kept for that."""
    # A pipe, as a shell makes one of `<(command)`, can be opened only once.
    if not path.is_fifo():
        try:
            path.open("rb").close()
        except OSError as error:
            raise _unreadable(path, error) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> Failure:
    return Failure(f"{printable(path)} can't be read: {error.strerror}.")
