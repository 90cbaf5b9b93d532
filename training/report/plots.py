"""Plots of recognition and of the clusters; all take parts of the evaluation and give a Plot."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from training.report import drawing
from training.report.drawing import canvas, line_style
from training.report.layout import Plot
from training.report.names import (
    clusters_name,
    distinct,
    joined,
    mean_of,
    percent,
    scenario_name,
    sd_of,
)

PIXELS_FROM = 1000
"""More points than that are drawn as a picture within the SVG, which else weighs megabytes."""
NUMBERED_CLUSTERS = 30
"""With more of them, numbers on the map would cover it."""


def recall_by_probes(name: str, records: Sequence[Mapping[str, Any]]) -> Plot:
    """One line of dots a kind of probes, one dot a scenario, with its standard deviation."""
    kinds = distinct(record["probes"] for record in records)
    scenarios = distinct(record["scenario"] for record in records)
    with canvas(name, width=5.4, height=1.4 + 0.42 * len(kinds)) as drawn:
        for place, scenario in enumerate(scenarios):
            of = [record for record in records if record["scenario"] == scenario]
            # Beside each other, or dots of equal height would hide one another.
            offset = (place - (len(scenarios) - 1) / 2) * 0.16
            drawn.axes.errorbar(
                [mean_of(record["recall"]) for record in of],
                [kinds.index(record["probes"]) + offset for record in of],
                xerr=[sd_of(record["recall"]) or 0 for record in of],
                label=scenario_name(scenario),
                **{**line_style(scenario), "linestyle": "none"},
            )
        drawn.axes.set_yticks(range(len(kinds)), kinds)
        drawn.axes.invert_yaxis()
        drawn.axes.grid(visible=False, axis="y")
        drawn.axes.xaxis.set_major_locator(MaxNLocator(5))
        drawn.axes.xaxis.set_major_formatter(drawing.PERCENT)
        drawn.axes.set_xlabel("macro recall")
        drawn.legend()
    names = joined([scenario_name(scenario) for scenario in scenarios])
    return Plot(
        drawn.svg,
        "People recognised, by kind of probes; whiskers are one standard deviation.",
        f"Dots of macro recall for {names} on the probes {joined(kinds)}.",
    )


def growth(
    name: str, metric: str, label: str, probes: str, records: Sequence[Mapping[str, Any]]
) -> Plot:
    """One measure as classes grow, one line a scenario."""
    scenarios = distinct(record["scenario"] for record in records)
    with canvas(name, height=3.8) as drawn:
        for scenario in scenarios:
            of = sorted(
                (record for record in records if record["scenario"] == scenario),
                key=lambda record: int(record["classes"]),
            )
            drawn.axes.plot(
                [record["classes"] for record in of],
                [mean_of(record[metric]) for record in of],
                label=scenario_name(scenario),
                **line_style(scenario),
            )
        drawn.axes.set_xticks(distinct(sorted(record["classes"] for record in records)))
        drawn.axes.xaxis.set_major_formatter(drawing.COUNT)
        drawn.axes.tick_params(axis="x", rotation=30)
        drawn.axes.yaxis.set_major_formatter(drawing.PERCENT)
        drawn.axes.set_xlabel("classes")
        drawn.axes.set_ylabel(label)
        drawn.legend()
    names = joined([scenario_name(scenario) for scenario in scenarios])
    return Plot(
        drawn.svg,
        f"{label} as classes grow, {probes}.",
        f"Lines of {label} on {probes} probes against the number of classes for {names}.",
    )


def cluster_sizes(name: str, sizes: Sequence[int]) -> Plot:
    """A bar a cluster."""
    mean = sum(sizes) / len(sizes)
    with canvas(name, height=2.9) as drawn:
        drawn.axes.bar(range(len(sizes)), sizes, color=drawing.MATED)
        drawn.axes.axhline(mean, color=drawing.INK, linestyle=":", label=f"mean {mean:,.0f}")
        drawn.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        drawn.axes.yaxis.set_major_formatter(drawing.COUNT)
        drawn.axes.grid(visible=False, axis="x")
        drawn.axes.set_xlabel("cluster")
        drawn.axes.set_ylabel("classes")
        drawn.legend()
    return Plot(
        drawn.svg,
        f"Sizes of the {clusters_name(len(sizes))}.",
        f"Bars of the sizes of {clusters_name(len(sizes))}, from {min(sizes):,} to {max(sizes):,} "
        "classes.",
    )


def class_map(name: str, points: Mapping[str, Any]) -> Plot:
    """Class means on their two main axes, coloured by cluster."""
    x, y = np.array(points["x"], np.float64), np.array(points["y"], np.float64)
    clusters = np.array(points["cluster"], np.int64)
    count = len(np.unique(clusters))
    explained = [percent(share, 1) for share in points["explained"]]
    with canvas(name, width=5.4, height=4.4) as drawn:
        colours = [drawing.CLUSTER_COLOURS[c % len(drawing.CLUSTER_COLOURS)] for c in clusters]
        drawn.axes.scatter(
            x, y, s=7, c=colours, alpha=0.7, linewidths=0, rasterized=len(x) > PIXELS_FROM
        )
        # Colours come again from the eighth cluster on: numbers tell clusters apart.
        for cluster in np.unique(clusters) if count <= NUMBERED_CLUSTERS else ():
            own = clusters == cluster
            drawn.axes.annotate(
                str(cluster),
                (np.median(x[own]), np.median(y[own])),
                ha="center",
                va="center",
                fontsize=9,
                fontweight="bold",
                bbox={"boxstyle": "circle,pad=0.25", "fc": drawing.PAPER, "ec": drawing.MUTED},
            )
        drawn.axes.set_xlabel(f"first axis ({explained[0]} % of the variance)")
        drawn.axes.set_ylabel(f"second axis ({explained[1]} %)")
    return Plot(
        drawn.svg,
        "Class means on their two main axes, coloured by cluster, its number at its middle. "
        "Clusters apart in all dimensions may overlap on these two.",
        f"Scatter of {len(x):,} class means in {clusters_name(count)}.",
    )
