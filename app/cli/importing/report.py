"""What an import came to: tables for the terminal and a file of what was rejected."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from app.cli.importing.journal import Entry
from app.cli.output import Failure

COLUMNS = ("path", "external_id", "reason", "detail")


def counts_table(entries: Sequence[Entry], *, file_count: int) -> Table:
    """Count the pictures by what became of them.

    Args:
        entries: one for each picture that has been dealt with, now or by an earlier run.
        file_count: all pictures of the source.
    """
    counts = Counter(entry.status for entry in entries)
    table = Table("pictures", title_justify="left", box=None)
    table.add_column("", justify="right")
    table.add_row("enrolled", str(counts["enrolled"]))
    table.add_row("already there", str(counts["already_there"]))
    table.add_row("rejected", str(counts["rejected"]))
    if file_count > len(entries):
        table.add_row("not dealt with yet", str(file_count - len(entries)))
    return table


def reasons_table(rejected: Sequence[Entry]) -> Table:
    """Count the rejected pictures by reason, most frequent first, with one example each."""
    table = Table("rejected because of", box=None)
    table.add_column("pictures", justify="right")
    table.add_column("for example", overflow="fold")
    for reason, count in Counter(entry.reason for entry in rejected).most_common():
        example = next(entry for entry in rejected if entry.reason == reason)
        table.add_row(reason, str(count), example.path)
    return table


def write_rejections(path: Path, rejected: Sequence[Entry]) -> None:
    """Write one line for each rejected picture: path, external_id, reason, detail.

    Args:
        path: a file that ends in .csv or .jsonl, which decides the form.
        rejected: what goes in.

    Raises:
        Failure: the file can't be written.
    """
    rows = [{column: asdict(entry)[column] for column in COLUMNS} for entry in rejected]
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            if path.suffix == ".jsonl":
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            else:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(rows)
    except OSError as error:
        raise Failure(f"The report {path} can't be written: {error.strerror}.") from error
