"""Plots of scores, thresholds and error rates; all take parts of the evaluation and give a Plot."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from training.report import drawing
from training.report.drawing import canvas, line_style
from training.report.layout import Plot
from training.report.names import joined, rate_name, scenario_name


def det_curves(name: str, probes: str, curves: Sequence[Mapping[str, Any]]) -> Plot:
    """FNIR against FPIR on logarithmic axes; lower and further left is better."""
    # A rate of none has no place on a logarithmic axis.
    lines = [
        [pair for pair in zip(curve["fpir"], curve["fnir"], strict=True) if min(pair) > 0]
        for curve in curves
    ]
    with canvas(name) as drawn:
        for curve, line in zip(curves, lines, strict=True):
            style = {**line_style(curve["scenario"]), "marker": ""}
            label = scenario_name(curve["scenario"])
            drawn.axes.plot(*np.reshape(line, (-1, 2)).T, label=label, **style)
        if not any(lines):
            # Nobody was missed at all, and the axes have no numbers to go by.
            drawn.axes.set(xlim=(0.001, 1), ylim=(0.001, 1))
        drawn.axes.set_xscale("log")
        drawn.axes.set_yscale("log")
        # FNIR may stay within one decade, which would leave its axis with a single number.
        drawn.axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        for axis in (drawn.axes.xaxis, drawn.axes.yaxis):
            axis.set_major_formatter(drawing.PERCENT)
            axis.set_minor_formatter(NullFormatter())
        drawn.axes.set_xlabel("FPIR: strangers given a name")
        drawn.axes.set_ylabel("FNIR: known people missed")
        drawn.legend()
    names = joined([scenario_name(curve["scenario"]) for curve in curves])
    return Plot(
        drawn.svg,
        f"DET curves, {probes}. Lower is better.",
        f"DET curves on {probes} probes: FNIR against FPIR for {names}.",
    )


def distribution(name: str, record: Mapping[str, Any]) -> Plot:
    """Scores of mated and non-mated searches with the threshold between them."""
    with canvas(name, height=2.9) as drawn:
        kinds = (
            ("mated", "mated", drawing.MATED, "-"),
            ("non_mated", "non-mated", drawing.NON_MATED, "--"),
        )
        for key, label, colour, dashes in kinds:
            counts = np.array(record[key], np.float64)
            drawn.axes.stairs(
                counts / max(counts.sum(), 1), record["edges"], color=colour, fill=True, alpha=0.3
            )
            drawn.axes.stairs(
                counts / max(counts.sum(), 1),
                record["edges"],
                color=colour,
                linestyle=dashes,
                linewidth=1.5,
                label=label,
            )
        drawn.axes.axvline(
            record["threshold"],
            color=drawing.INK,
            linewidth=1.5,
            linestyle=":",
            label=f"threshold {record['threshold']:.3g}",
        )
        drawn.axes.yaxis.set_major_formatter(drawing.PERCENT)
        drawn.axes.set_ylim(bottom=0)
        drawn.axes.set_xlabel("score")
        drawn.axes.set_ylabel("share of the searches")
        drawn.legend(columns=3)
    who = scenario_name(record["scenario"])
    return Plot(
        drawn.svg,
        f"{who}, {record['probes']}: scores of mated and non-mated searches.",
        f"Histogram of scores of {who} on {record['probes']} probes, mated and non-mated, with "
        f"the threshold at {record['threshold']:.3g}.",
    )


def reliability(name: str, bins: Sequence[Mapping[str, Any]]) -> Plot:
    """Probabilities told against how often they came true; honest ones lie on the diagonal."""
    counts = np.array([each["count"] for each in bins], np.float64)
    with canvas(name, width=4.2, height=3.6) as drawn:
        drawn.axes.plot([0, 1], [0, 1], color=drawing.MUTED, linestyle=":", label="honest")
        drawn.axes.plot(
            [each["predicted"] for each in bins],
            [each["observed"] for each in bins],
            color=drawing.MATED,
            linewidth=1,
        )
        drawn.axes.scatter(
            [each["predicted"] for each in bins],
            [each["observed"] for each in bins],
            s=15 + 120 * counts / max(counts.max(), 1),
            color=drawing.MATED,
            zorder=3,
            label="measured (larger: more searches)",
        )
        for axis in (drawn.axes.xaxis, drawn.axes.yaxis):
            axis.set_major_formatter(drawing.PERCENT)
        drawn.axes.set_xlabel("probability told")
        drawn.axes.set_ylabel("came true")
        drawn.legend()
    return Plot(
        drawn.svg,
        "Reliability of the probabilities.",
        f"Observed against predicted probability in {len(bins)} bins, with the diagonal.",
    )


def thresholds(name: str, rates: Sequence[Mapping[str, Any]]) -> Plot:
    """How thresholds move with the size of the gallery, one line an FPIR."""
    with canvas(name, height=3.3) as drawn:
        for number, rate in enumerate(rates):
            sizes = rate["by_gallery_size"]
            drawn.axes.plot(
                [size["subjects"] for size in sizes],
                [size["threshold"] for size in sizes],
                color=drawing.CLUSTER_COLOURS[number % len(drawing.CLUSTER_COLOURS)],
                marker="os^Dv"[number % 5],
                label=f"FPIR {rate_name(rate['fpir'])}",
            )
        drawn.axes.set_xscale("log")
        drawn.axes.xaxis.set_major_formatter(drawing.COUNT)
        drawn.axes.xaxis.set_minor_formatter(NullFormatter())
        drawn.axes.set_xlabel("subjects in the gallery")
        drawn.axes.set_ylabel("threshold")
        drawn.legend(columns=3)
    return Plot(
        drawn.svg,
        "Thresholds by the size of the gallery.",
        f"Lines of the threshold against the number of subjects, for {len(rates)} FPIRs.",
    )
