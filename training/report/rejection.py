"""The sections on strangers and on the decision: error rates, scores, calibration."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from training.report.layout import (
    Cell,
    Group,
    Plot,
    Section,
    Table,
    shares_table,
    spread_of,
    text_table,
)
from training.report.names import (
    NOTHING,
    OURS,
    distinct,
    mean_of,
    number,
    percent,
    rate_name,
    scenario_name,
)
from training.report.score_plots import det_curves, distribution, reliability, thresholds


def open_set(evaluation: Mapping[str, Any]) -> Section:
    """FNIR at FPIR, DET curves and the scores behind them."""
    records = evaluation.get("open_set", ())
    curves = evaluation.get("det", ())
    groups = [
        Group([_fnir(records, kind) for kind in distinct(each["probes"] for each in records)]),
        Group(
            [
                det_curves(
                    f"det-{place}", kind, [curve for curve in curves if curve["probes"] == kind]
                )
                for place, kind in enumerate(distinct(curve["probes"] for curve in curves))
            ],
            "DET curves",
        ),
        Group(
            [
                distribution(f"scores-{place}", record)
                for place, record in enumerate(evaluation.get("distributions", ()))
            ],
            "Scores of mated and non-mated searches",
        ),
    ]
    return Section(
        "open-set",
        "Open set: strangers",
        [group for group in groups if group.blocks],
        (
            "FNIR is the share of probes of known people that were not given their name; FPIR the "
            "share of strangers that were given one. Lower is better for both.",
        ),
    )


def decision(evaluation: Mapping[str, Any]) -> Section:
    """What calibration found: weights, clusters to search, thresholds, probabilities."""
    calibration = evaluation["calibration"]
    blocks: list[Table | Plot] = []
    if weights := calibration.get("weights"):
        names = ("subnet", "class_mean", "best_sample")
        rows = [[each["when"], *(f"{each[name]:.3g}" for name in names)] for each in weights]
        heads = ["When", "Subnet", "Class mean", "Best sample"]
        blocks.append(text_table("Weights of the fused score", heads, rows))
    if widths := calibration.get("clusters_searched"):
        counts = [name for name in widths[0] if name.startswith("clusters_")]
        rows = [
            [each["probes"], *(percent(each[name]) for name in (*counts, "mate_searched"))]
            for each in widths
        ]
        searched = [f"{name.removeprefix('clusters_')} searched" for name in counts]
        heads = ["Validation probes", *searched, "Mate's cluster among them"]
        caption = (
            f"Clusters searched until they hold {calibration['needed_share']:.3g} of the vote, "
            "in % of the probes"
        )
        blocks.append(text_table(caption, heads, rows))
    if rates := calibration.get("thresholds"):
        blocks.append(_thresholds(rates))
        blocks.append(thresholds("thresholds", rates))
    if bins := calibration.get("reliability"):
        blocks.append(reliability("reliability", bins))
        rows = [
            [percent(each["predicted"]), percent(each["observed"]), number(each["count"])]
            for each in bins
        ]
        heads = ["Told, %", "Came true, %", "Searches"]
        blocks.append(text_table("Reliability of the probabilities", heads, rows))
    return Section("decision", "Decision", [Group(blocks)])


def _fnir(records: Sequence[Mapping[str, Any]], kind: str) -> Table:
    of = [record for record in records if record["probes"] == kind]
    fpirs = distinct(fpir for record in of for fpir in record["fnir"])
    table = shares_table(
        f"FNIR at FPIR, probes: {kind}, %",
        ["Scenario", *(f"at {rate_name(fpir)}" for fpir in fpirs)],
        [
            (scenario_name(record["scenario"]), [record["fnir"].get(fpir) for fpir in fpirs])
            for record in of
        ],
        better=min,
        ours=scenario_name(OURS),
    )
    seen = [record.get("observed_fpir", {}) for record in of]
    aims = distinct(fpir for rates in seen for fpir in rates)
    return replace(
        table,
        columns=[*table.columns, *(f"FPIR seen, set for {rate_name(aim)}" for aim in aims)],
        rows=[
            replace(row, cells=[*row.cells, *(_rate_cell(rates.get(aim)) for aim in aims)])
            for row, rates in zip(table.rows, seen, strict=True)
        ],
        note="FPIR seen is that of the test's strangers at calibration's thresholds."
        if aims
        else "",
    )


def _rate_cell(rate: Any) -> Cell:
    return Cell(percent(mean_of(rate)), spread_of(rate))


def _thresholds(rates: Sequence[Mapping[str, Any]]) -> Table:
    found = {
        (size["subjects"], rate["fpir"]): f"{size['threshold']:.4f}"
        for rate in rates
        for size in rate["by_gallery_size"]
    }
    sizes = sorted(distinct(subjects for subjects, _ in found))
    return text_table(
        "Threshold by FPIR and size of the gallery",
        ["Subjects", *(rate_name(rate["fpir"]) for rate in rates)],
        [
            [number(size), *(found.get((size, rate["fpir"]), NOTHING) for rate in rates)]
            for size in sizes
        ],
    )
