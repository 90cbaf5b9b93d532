"""The tables and the file that an import ends with."""

import csv
import json
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from app.cli.importing.journal import Entry, Status
from app.cli.importing.report import counts_table, reasons_table, write_rejections
from app.cli.output import Failure


def entry(path: str, status: Status, reason: str = "") -> Entry:
    return Entry(path, 1, 1, "ada", status, reason, f"why {path}, really")


ENTRIES = [
    entry("1.jpg", "enrolled"),
    entry("2.jpg", "already_there", "duplicate_picture"),
    entry("3.jpg", "rejected", "no_face"),
    entry("4.jpg", "rejected", "blurred"),
    entry("5.jpg", "rejected", "blurred"),
]


def text_of(table: Table) -> list[str]:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_pictures_are_counted_by_what_became_of_them() -> None:
    assert text_of(counts_table(ENTRIES, file_count=7))[1:] == [
        "enrolled 1",
        "already there 1",
        "rejected 3",
        "not dealt with yet 2",
    ]


def test_reasons_come_most_frequent_first_with_an_example() -> None:
    assert text_of(reasons_table(ENTRIES[2:]))[1:] == ["blurred 2 4.jpg", "no_face 1 3.jpg"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_the_file_has_a_line_for_each_rejected_picture(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"rejected{suffix}"
    write_rejections(file, ENTRIES[2:])
    with file.open(newline="", encoding="utf-8") as lines:
        rows = (
            list(csv.DictReader(lines))
            if suffix == ".csv"
            else [json.loads(line) for line in lines]
        )
    assert [row["path"] for row in rows] == ["3.jpg", "4.jpg", "5.jpg"]
    assert rows[0] == {
        "path": "3.jpg",
        "external_id": "ada",
        "reason": "no_face",
        "detail": "why 3.jpg, really",
    }


def test_a_file_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="can't be written: No such file"):
        write_rejections(tmp_path / "nowhere" / "rejected.csv", [])
