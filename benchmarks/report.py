"""Print a benchmark's figures as a table and keep them as JSON."""

import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from training.timing.machine import machine

RESULTS = Path(__file__).parent / "results"


def write_results(name: str, figures: Mapping[str, float]) -> Path:
    """Write `benchmarks/results/NAME.json` and print the same figures.

    Args:
        name: of the benchmark, a file name without its ending.
        figures: flat snake_case names and their numbers.
    """
    document = {
        "name": name,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "commit": commit(),
        "figures": {figure: round(float(value), 6) for figure, value in figures.items()},
    }
    table = Table(title=f"{name}: {document['machine']}, {document['date']}, {document['commit']}")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for figure, value in figures.items():
        table.add_row(figure, f"{value:,.6g}")
    Console().print(table)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


def commit() -> str:
    """Name the commit that was measured, with "+" where the tree differs from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=10"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return described.stdout.strip() or "unknown"
