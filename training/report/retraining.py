"""The page of a retraining: the new bundle against what is served, and what was trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.report import drawing
from training.report.drawing import canvas, line_style
from training.report.headline import Headline
from training.report.layout import (
    Cell,
    Group,
    Plot,
    Row,
    Section,
    Table,
    shares_table,
    text_table,
)
from training.report.names import (
    CLASS_MEAN,
    NOTHING,
    OURS,
    in_words,
    number,
    percent,
    points,
    rate_name,
)
from training.report.plots import cluster_sizes
from training.report.records import as_csv
from training.report.rejection import decision
from training.report.write import PAGE, TABLES, render_page
from training.stores.shards import write_whole

NEW = "This bundle"
RULE = (
    "Both were given the same held-out pictures, which neither was trained with, by the code that "
    "serves. The gallery was the same, too: all pictures but these."
)


def write_retraining(
    folder: Path,
    results: Mapping[str, Any],
    *,
    sizes: Sequence[int],
    calibration: Mapping[str, Any],
    synthetic: bool,
) -> Path:
    """Write report.html and report/*.csv.

    Args:
        folder: of the retraining.
        results: what retraining.json says.
        sizes: classes of each cluster.
        calibration: as `training.evaluation.shown.shown_calibration` gives it.
        synthetic: whether the vectors were drawn.

    Returns:
        The page: one file that needs no other. The same arguments give the same bytes.

    Raises:
        OSError: the folder can't be written to.
    """
    tables = folder / TABLES
    tables.mkdir(exist_ok=True)
    for name, records in _records(results, sizes).items():
        write_whole(tables / f"{name}.csv", as_csv(records))
    sections = [_comparison(results["comparison"]), _subnets(results["subnets"], sizes)]
    decided = decision({"calibration": calibration})
    page = render_page(
        title="Retraining report",
        synthetic=synthetic,
        headline=_headline(results),
        rule=RULE if results["comparison"]["probes"] else "",
        sections=[*sections, *([decided] if decided.groups[0].blocks else [])],
    )
    write_whole(folder / PAGE, page.encode())
    return folder / PAGE


def _headline(results: Mapping[str, Any]) -> Headline:
    comparison, subnets = results["comparison"], results["subnets"]
    trained, total = len(subnets["trained"]), subnets["total"]
    sentences = [
        f"All subnets were trained: {subnets['why']}."
        if subnets["full"]
        else f"{trained:,} of {total:,} subnets were trained, the others taken over."
    ]
    figures = [("Subnets trained", number(trained), f"of {total:,}")]
    new, active = comparison["new"], comparison["active"]
    if new is None:
        told = "Nobody has pictures enough to hold some out: nothing could be compared."
        return Headline([*sentences, told], figures)
    before = _served(comparison).lower()
    for label, key in (
        ("First name right", "rank1"),
        ("Known people missed where 1 % of strangers get a name", "fnir_at_fpir_0_01"),
    ):
        figures.append((label, in_words(new[key]), f"{before} {in_words(active[key])}"))
    return Headline(sentences, figures)


def _served(comparison: Mapping[str, Any]) -> str:
    return "Active bundle" if comparison["baseline"] == "bundle" else "Class means, no bundle"


def _comparison(comparison: Mapping[str, Any]) -> Section:
    new, active, served = comparison["new"], comparison["active"], _served(comparison)
    if new is None:
        text = ("No subject has five pictures or more, of which some could have been held out.",)
        return Section("comparison", "Before and after", [], text)
    heads = ["", "Rank-1, %", f"FNIR at FPIR {rate_name(0.01)}, %", "Subnets run a probe, %"]
    keys = ("rank1", "fnir_at_fpir_0_01", "penetration")
    rows = [
        Row(name, [Cell(percent(side[key])) for key in keys], ours=name == NEW)
        for name, side in ((served, active), (NEW, new))
    ]
    rows.append(Row("Difference, points", [Cell(points(new[key] - active[key])) for key in keys]))
    fpirs = list(new["fnir"])
    misses = shares_table(
        "FNIR at FPIR, %",
        ["", *(f"at {rate_name(fpir)}" for fpir in fpirs)],
        [
            (name, [side["fnir"][fpir] for fpir in fpirs])
            for name, side in ((served, active), (NEW, new))
        ],
        better=min,
        ours=NEW,
    )
    caption = f"On {comparison['probes']:,} held-out probes"
    blocks = (Table(caption, heads, rows), misses, _curves(comparison))
    text = (
        "FNIR is the share of probes of known people that were not given their name; FPIR that of "
        "strangers who were given one: the same probes, searched without their own subject.",
    )
    return Section("comparison", "Before and after", [Group(blocks)], text)


def _curves(comparison: Mapping[str, Any]) -> Plot:
    served = _served(comparison)
    with canvas("fnir-over-fpir") as drawn:
        for name, key, style in ((served, "active", CLASS_MEAN), (NEW, "new", OURS)):
            fnir = comparison[key]["fnir"]
            drawn.axes.plot(
                [float(fpir) for fpir in fnir],
                list(fnir.values()),
                label=name,
                **line_style(style),
            )
        drawn.axes.set_xscale("log")
        for axis in (drawn.axes.xaxis, drawn.axes.yaxis):
            axis.set_major_formatter(drawing.PERCENT)
        drawn.axes.set_ylim(bottom=0)
        drawn.axes.set_xlabel("FPIR: strangers given a name")
        drawn.axes.set_ylabel("FNIR: known people missed")
        drawn.legend()
    return Plot(
        drawn.svg,
        "FNIR over FPIR. Lower is better.",
        f"Lines of FNIR against FPIR for this bundle and for: {served}.",
    )


def _subnets(subnets: Mapping[str, Any], sizes: Sequence[int]) -> Section:
    counts = [
        [str(subnets["total"]), str(len(subnets["trained"])), number(subnets["kept"]),
         number(subnets["extended"])]
    ]  # fmt: skip
    heads = ["Subnets", "Trained", "Kept as they were", "Kept, classes came or went"]
    blocks: list[Table | Plot] = [text_table("What became of the subnets", heads, counts)]
    if subnets["reasons"]:
        rows = [
            [each, number(sizes[int(each)]), why or NOTHING]
            for each, why in subnets["reasons"].items()
        ]
        blocks.append(text_table("Trained again", ["Subnet", "Classes", "Why"], rows))
    return Section(
        "subnets", "Subnets", [Group(blocks), Group([cluster_sizes("sizes", sizes)], "Clusters")]
    )


def _records(results: Mapping[str, Any], sizes: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    comparison, subnets = results["comparison"], results["subnets"]
    trained = set(subnets["trained"])
    records = {
        "subnets": [
            {
                "subnet": place,
                "classes": size,
                "trained": place in trained,
                "why": subnets["reasons"].get(str(place), subnets["why"]),
            }
            for place, size in enumerate(sizes)
        ]
    }
    if comparison["new"] is not None:
        records["comparison"] = [
            {"bundle": name}
            | {key: value for key, value in comparison[name].items() if key != "fnir"}
            | {f"fnir_at_fpir_{fpir}": value for fpir, value in comparison[name]["fnir"].items()}
            for name in ("active", "new")
        ]
    return records
