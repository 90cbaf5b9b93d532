"""What a page is made of; the template knows these and nothing of the evaluation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from training.report.names import NOTHING, mean_of, percent, sd_of

LONGEST_NUMBER = 24
"""In characters; a setting's value or a hash may be longer."""


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    spread: str = ""
    """The standard deviation, in the unit of `text`; empty where there is none."""
    best: bool = False
    """The best of its column."""

    @property
    def is_long(self) -> bool:
        """It wraps; numbers never do."""
        return len(self.text) > LONGEST_NUMBER


@dataclass(frozen=True)
class Row:
    """A row: its head and its cells."""

    name: str
    cells: Sequence[Cell]
    ours: bool = False
    """Set off, since it is the row a reader looks for."""


@dataclass(frozen=True)
class Table:
    """A table with a caption."""

    caption: str
    columns: Sequence[str]
    """The heads; the first is that of the rows' names."""
    rows: Sequence[Row]
    note: str = ""
    """Small print below."""

    @property
    def word_columns(self) -> set[int]:
        """Those of `columns` with nothing but words, which stand left; numbers stand right."""
        return {
            place
            for place in range(1, len(self.columns))
            if all(row.cells[place - 1].text[:1].isalpha() for row in self.rows)
        }


@dataclass(frozen=True)
class Plot:
    """A drawing within the page."""

    svg: str
    """An <svg> element, trusted."""
    caption: str
    description: str
    """Read out to whoever can't see it."""


@dataclass(frozen=True)
class Group:
    """Tables and plots that belong together."""

    blocks: Sequence[Table | Plot]
    title: str = ""
    folded: bool = False
    """Closed until a reader opens it; printed all the same."""


@dataclass(frozen=True)
class Section:
    """A numbered part of the page."""

    anchor: str
    title: str
    groups: Sequence[Group]
    text: Sequence[str] = field(default=())


Better = Callable[[list[float]], float]
"""`max` or `min`: which of a column's values is the best."""


def shares_table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Any]]],
    *,
    better: Better | None = max,
    ours: str = "",
    note: str = "",
) -> Table:
    """Make a table of shares in per cent, the best of each column marked.

    Args:
        caption: of the table.
        columns: heads, that of the rows' names first.
        rows: each with its name and one value a column: a mean with its sd, or None.
        better: `max` or `min`; None marks nothing. Values that print alike are equally good.
        ours: the name of the row to set off.
        note: small print.
    """
    printed = [[percent(mean_of(value)) for value in values] for _, values in rows]
    best = [
        _best_of([line[column] for line in printed], better) for column in range(len(columns) - 1)
    ]
    return Table(
        caption,
        columns,
        [
            Row(
                name,
                [
                    Cell(text, spread_of(value), best=text == top)
                    for text, value, top in zip(line, values, best, strict=True)
                ],
                ours=name == ours,
            )
            for (name, values), line in zip(rows, printed, strict=True)
        ],
        note,
    )


def text_table(
    caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = ""
) -> Table:
    """Make a table of ready text; the first of each row is its name."""
    return Table(
        caption, columns, [Row(name, [Cell(text) for text in cells]) for name, *cells in rows], note
    )


def _best_of(column: list[str], better: Better | None) -> str | None:
    values = [float(text) for text in column if text != NOTHING]
    # One value alone is no winner.
    return percent(better(values) / 100) if better is not None and len(values) > 1 else None


def spread_of(share: Any) -> str:
    """The standard deviation of a share, in percentage points; empty where there is none."""
    sd = sd_of(share)
    return "" if sd is None else percent(sd)
