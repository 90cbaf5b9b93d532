"""Figures as SVG that takes its colours from the page, so that it is right by day and by night."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from training.report.names import CLASS_MEAN, NEAREST_SAMPLE, OURS

# Stand-ins: a drawing is made with these and the page's own colours are put in their place.
INK = "#010101"
MUTED = "#020202"
LINES = "#030303"
PAPER = "#040404"
MATED = "#0400a1"
NON_MATED = "#0400a2"
_PAGE_COLOURS = {
    INK: "currentColor",
    MUTED: "var(--muted)",
    LINES: "var(--line)",
    PAPER: "var(--paper)",
    MATED: "var(--series-class-mean)",
    NON_MATED: "var(--series-random)",
}

_STYLES = {
    "flat": ("flat", "o", ":"),
    "random + max-max": ("random-max", "v", (0, (4, 2))),
    "random + nearest": ("random", "^", (0, (4, 2))),
    CLASS_MEAN: ("class-mean", "s", "-"),
    "clusters + max-max": ("clusters-max", "<", "-."),
    "clusters + nearest": ("clusters", "D", "-."),
    OURS: ("ours", "o", "-"),
    NEAREST_SAMPLE: ("sample", "X", "-"),
}
"""Colour (the page's --series-NAME), marker and dashes: no two differ by colour alone."""
_STAND_INS = {name: f"#0500{number:02x}" for number, name in enumerate(_STYLES, 0xB0)}
_PAGE_COLOURS |= {
    _STAND_INS[scenario]: f"var(--series-{colour})" for scenario, (colour, _, _) in _STYLES.items()
}

CLUSTER_COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c",
)  # fmt: skip
"""Okabe and Ito's, which the colour-blind can tell apart and which show on white and on black."""

_SETTINGS = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9.5,
    "grid.color": LINES,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}

PERCENT = FuncFormatter(lambda share, _: f"{100 * share:g} %")
COUNT = FuncFormatter(lambda count, _: f"{count:,.0f}")
"""Of an axis' ticks."""


class Canvas:
    """One figure with one pair of axes, that becomes an <svg> element."""

    def __init__(self, name: str, width: float, height: float) -> None:
        self._name = name
        self._figure = Figure(figsize=(width, height), layout="constrained")
        self.axes: Any = self._figure.add_subplot()
        self.svg = ""

    def legend(self, columns: int = 2) -> None:
        """Put a legend below the axes."""
        self._figure.legend(loc="outside lower center", ncols=columns, fontsize=8.5)

    def draw(self) -> None:
        """Make `svg`."""
        file = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        self._figure.savefig(file, format="svg", transparent=True, metadata=nothing)
        self.svg = _for_the_page(file.getvalue(), self._name)


@contextmanager
def canvas(name: str, *, width: float = 4.8, height: float = 3.4) -> Iterator[Canvas]:
    """Draw on axes; their `svg` is there once the block is left.

    Args:
        name: unique on the page: letters, digits and dashes.
        width: in inches; small, so that letters stay legible on a phone.
        height: likewise.
    """
    # The same drawing has the same bytes: matplotlib else salts ids at random.
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": "cohort"}):
        drawn = Canvas(name, width, height)
        yield drawn
        drawn.draw()


def line_style(scenario: str) -> dict[str, Any]:
    """How a scenario's line looks in every plot; ours on top and thickest."""
    _, marker, dashes = _STYLES.get(scenario, ("", ".", "-"))
    ours = scenario == OURS
    return {
        "color": _STAND_INS.get(scenario, MUTED),
        "marker": marker,
        "linestyle": dashes,
        "linewidth": 2.6 if ours else 1.5,
        "markersize": 6 if ours else 5,
        "zorder": 4 if ours else 3,
    }


def _for_the_page(svg: str, name: str) -> str:
    """Cut the element out of the document, with ids of its own and the page's colours."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r' xmlns(:xlink)?="[^"]*"', "", element)
    element = re.sub(r"<metadata>.*?</metadata>\s*", "", element, flags=re.DOTALL)
    element = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", element)
    for stand_in, colour in _PAGE_COLOURS.items():
        element = element.replace(stand_in, colour)
    return element
