"""Writes a run's report: the page, its figures as JSON and its tables as CSV."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from training.report.background import clusters, epoch_times, making
from training.report.comparison import RULE
from training.report.headline import Headline, headline
from training.report.layout import Plot, Section
from training.report.recognition import cluster_finding, growth_curves, identification, losses
from training.report.records import as_csv, csv_tables
from training.report.rejection import decision, open_set
from training.stores.shards import write_whole

PAGE = "report.html"
FIGURES = "report.json"
TABLES = "report"

_SECTIONS = (
    (("identification",), identification),
    (("cluster_finding",), cluster_finding),
    (("open_set", "det", "distributions"), open_set),
    (("growth",), growth_curves),
    (("losses",), losses),
    (("clusters", "map"), clusters),
    (("calibration",), decision),
)
"""In the page's order: the keys of the evaluation of which one must be there, and what is made."""


def write_report(
    evaluation: Mapping[str, Any],
    folder: Path,
    *,
    title: str,
    epochs: Mapping[str, Any] | None = None,
) -> Path:
    """Write report.html, report.json and report/*.csv, replacing those of an earlier report.

    Args:
        evaluation: what `evaluate` found, in JSON's types; shares are in [0, 1], a value measured
            in repetitions is {"mean", "sd", "values"}. What is not there is left out of the page.
        folder: of the run; made if it is not there.
        title: the page's.
        epochs: a `training.timing.epochs.EpochTimes` as a dict.

    Returns:
        The page: one file that needs no other. The same arguments give the same bytes.

    Raises:
        OSError: the folder can't be written to. Each file is there whole, or as it was.
    """
    page = make_page(evaluation, title=title, epochs=epochs)
    tables = folder / TABLES
    tables.mkdir(parents=True, exist_ok=True)
    made = {f"{name}.csv": as_csv(rows) for name, rows in csv_tables(evaluation, epochs).items()}
    for name, data in made.items():
        write_whole(tables / name, data)
    for left in tables.glob("*.csv"):
        # A table of an earlier report would pass for one of this.
        if left.name not in made:
            left.unlink()
    write_whole(folder / FIGURES, f"{json.dumps(evaluation, indent=1)}\n".encode())
    # The page comes last: where it is, all is.
    write_whole(folder / PAGE, page.encode())
    return folder / PAGE


def make_page(
    evaluation: Mapping[str, Any], *, title: str, epochs: Mapping[str, Any] | None = None
) -> str:
    """Make the page alone; arguments as for `write_report`."""
    return render_page(
        title=title,
        synthetic=evaluation["synthetic"],
        headline=headline(evaluation),
        rule=RULE,
        sections=_sections(evaluation, epochs),
    )


def render_page(
    *, title: str, synthetic: bool, headline: Headline, rule: str, sections: Sequence[Section]
) -> str:
    """Lay out a page.

    Args:
        title: of the page.
        synthetic: whether a reader must be told that the vectors were drawn.
        headline: what stands first.
        rule: small print below it.
        sections: in their order.
    """
    environment = Environment(
        loader=PackageLoader("training", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["plot"] = lambda block: isinstance(block, Plot)
    return str(
        environment.get_template("page.html").render(
            title=title, synthetic=synthetic, headline=headline, rule=rule, sections=sections
        )
    )


def _sections(evaluation: Mapping[str, Any], epochs: Mapping[str, Any] | None) -> list[Section]:
    sections = [
        make(evaluation) for keys, make in _SECTIONS if any(evaluation.get(key) for key in keys)
    ]
    if epochs:
        sections.append(epoch_times(epochs))
    return [*sections, making(evaluation)]
