"""`cohort demo`: a service of its own, a few pictures, and whether it saw what it should."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from app.cli.child_service import running_service
from app.cli.client import Client, Refusal
from app.cli.identify import NOTHING, display_name
from app.cli.output import EXIT_NOT_ALL, Failure, answers, notes

PICTURES = Path(__file__).parents[2] / "tests" / "data"

OBAMA, ASTRONAUT = "Barack Obama", "Eileen Collins"
FILES = ("obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg", "astronaut.jpg", "cat.jpg")


@dataclass(frozen=True)
class Check:
    """One thing that the service was asked, what it should have seen, and what it saw."""

    picture: str
    asked: str
    expected: str
    seen: str
    score: str

    @property
    def passed(self) -> bool:
        """Whether it saw what it should."""
        return self.seen == self.expected


def demo(
    pictures: Annotated[
        Path, typer.Option(help="Folder with obama.jpg, biden.jpg and the rest of the cast.")
    ] = PICTURES,
) -> None:
    """Start a service on a free port, enrol and identify a few pictures, and show what it saw.

    It runs on a temporary folder that is removed afterwards; your own data is not touched.

    Examples:
    * `cohort demo`
    * `cohort demo --pictures tests/data`

    Exit code 0: it saw what it should; 1: it did not; 3: it could not be tried.
    """
    missing = [name for name in FILES if not (pictures / name).is_file()]
    if missing:
        raise Failure(
            f"{pictures} lacks {', '.join(missing)}.",
            hint="The pictures are in tests/data of the repository: name it with --pictures.",
        )
    with tempfile.TemporaryDirectory(prefix="cohort-demo-") as folder:
        notes.print("Starting a service in a temporary folder ...")
        with running_service(Path(folder)) as client:
            checks = _play(client, pictures)
    table = Table("picture", "asked", "should be", "was", box=None)
    table.add_column("score", justify="right")
    table.add_column("")
    for check in checks:
        verdict = Text("pass", style="green") if check.passed else Text("FAIL", style="bold red")
        table.add_row(check.picture, check.asked, check.expected, check.seen, check.score, verdict)
    answers.print(table)
    passed = sum(check.passed for check in checks)
    answers.print(f"{passed} of {len(checks)} as they should be")
    if passed < len(checks):
        raise typer.Exit(EXIT_NOT_ALL)


def _play(client: Client, pictures: Path) -> list[Check]:
    def enrol(file: str, name: str) -> Check:
        picture = (file, (pictures / file).read_bytes())
        try:
            subject = client.enroll([picture], name=name)["subject"]
        except Refusal as refusal:
            return Check(file, "enrol", name, refusal.detail, NOTHING)
        return Check(file, "enrol", name, display_name(subject), NOTHING)

    def identify(file: str, expected: str) -> Check:
        faces = client.identify(file, (pictures / file).read_bytes())["faces"]
        seen = [display_name(face["best"]) if face["best"] else face["decision"] for face in faces]
        scores = [
            f"{face['candidates'][0]['score']:.3f}" if face["candidates"] else NOTHING
            for face in faces
        ]
        return Check(
            file,
            "identify",
            expected,
            ", ".join(seen) or "no face",
            ", ".join(scores) or NOTHING,
        )

    return [
        enrol("obama.jpg", OBAMA),
        identify("obama2.jpg", OBAMA),
        identify("obama3.jpg", OBAMA),
        identify("biden.jpg", "unknown"),
        identify("astronaut.jpg", "unknown"),
        enrol("astronaut.jpg", ASTRONAUT),
        identify("astronaut.jpg", ASTRONAUT),
        identify("cat.jpg", "no face"),
    ]
