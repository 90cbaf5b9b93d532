"""The sections on who is recognised: Tables 1 and 2, growth, losses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from training.report.layout import Cell, Group, Plot, Row, Section, Table, shares_table, spread_of
from training.report.names import (
    CLASS_MEAN,
    NEAREST_SAMPLE,
    OURS,
    clusters_name,
    distinct,
    mean_of,
    number,
    p_value,
    points,
    scenario_name,
)
from training.report.plots import growth, recall_by_probes

METRICS = {"precision": "Precision", "recall": "Recall", "f1": "F1", "rank1": "Rank-1"}
SHOWN_IN_PLOT = (OURS, "clusters + nearest", CLASS_MEAN, NEAREST_SAMPLE)
SPLITS = {"random": "random split", "clustered": "clusters"}
STARTS = {"class-mean": "class means", "random": "random rows"}
PAPER_TABLE_1 = (
    "The paper (test; cluster mean / max-max / nearest class mean): 10,000 classes in 5 clusters, "
    "random split 23.4 / 92.6 / 92.7, clustered 85.7 / 97.2 / 97.8; 20,000 in 10, random split "
    "11.8 / 91.4 / 91.6, clustered 78.0 / 95.7 / 96.3."
)
PAPER_TABLE_2 = (
    "The paper (Glint360K, F1 at 5,000 / 10,000 / 20,000 / 50,000 classes): flat 94.71 / 91.93 / "
    "85.99 / 61.77; ISM 95.02 / 93.65 / 91.99 / 88.94; random + nearest 95.06 / 93.50 / 92.06 / "
    "89.16; KNN 94.90 / 93.42 / 92.05 / 89.16; clusters + max-max 94.97 / 93.72 / 92.27 / 89.40; "
    "clusters + nearest 95.07 / 93.73 / 92.32 / 89.40."
)
OURS_NAME = scenario_name(OURS)


def identification(evaluation: Mapping[str, Any]) -> Section:
    """Table 2: every scenario on every kind of probes."""
    records = evaluation["identification"]
    groups = []
    for place, clusters in enumerate(distinct(record["clusters"] for record in records)):
        of = [record for record in records if record["clusters"] == clusters]
        paired = [each for each in evaluation.get("paired", ()) if each["clusters"] == clusters]
        overview: list[Table | Plot] = [_overview(of, clusters)]
        if paired:
            overview.append(_paired(paired, clusters))
        overview.append(
            recall_by_probes(
                f"recall-{clusters}", [each for each in of if each["scenario"] in SHOWN_IN_PLOT]
            )
        )
        tables = [
            _one_kind(of, kind, clusters) for kind in distinct(record["probes"] for record in of)
        ]
        if place == 0:
            overview.append(tables.pop(0))
        groups.append(Group(overview, f"{clusters_name(clusters)}"))
        if tables:
            title = f"{clusters_name(clusters)}: precision, recall, F1 and rank-1 by kind of probes"
            groups.append(Group(tables, title, folded=True))
    return Section(
        "identification",
        "Identification",
        groups,
        (
            "Every probe is of somebody in the gallery. Precision, recall and F1 are macro means "
            "over people, rank-1 is over probes; in per cent, mean ± standard deviation over "
            f"{number(evaluation['repetitions'])} repetitions. The nets of the paper's scenarios "
            "are trained without degraded copies and start from class means; what random rows to "
            "start from, the paper's way, come to is shown under cluster finding.",
            PAPER_TABLE_2,
        ),
    )


def cluster_finding(evaluation: Mapping[str, Any]) -> Section:
    """Table 1: how often a probe's own cluster is found."""
    groups = []
    records = evaluation["cluster_finding"]
    for clusters in distinct(record["clusters"] for record in records):
        of = [record for record in records if record["clusters"] == clusters]
        kinds = distinct(record["probes"] for record in of)
        accuracy = {
            (each["split"], each["representative"], each["probes"]): each["accuracy"] for each in of
        }
        ways = distinct((each["split"], each["representative"]) for each in of)
        rows = [
            (f"{split}: {by}", [accuracy.get((split, by, kind)) for kind in kinds])
            for split, by in ways
        ]
        caption = f"{clusters_name(clusters)}: share of probes whose cluster is found, %"
        groups.append(Group([shares_table(caption, ["Split: representative", *kinds], rows)]))
    if starts := evaluation.get("starts"):
        groups.append(Group(_starts_tables(starts), "Layers that start at random, as the paper's"))
    return Section("cluster-finding", "Cluster finding", groups, (PAPER_TABLE_1,))


def _starts_tables(records: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Class means against random rows to start from, one table a figure."""
    kinds = distinct(record["probes"] for record in records)
    ways = distinct((record["split"], record["initialisation"]) for record in records)
    by_key = {(each["split"], each["initialisation"], each["probes"]): each for each in records}
    captions = {
        "found_by_max_max": "Share of probes whose cluster is found by max-max, %",
        "f1_max_max": "F1 by max-max, %",
        "f1_nearest": "F1 in the cluster of the nearest class mean, %",
    }
    return [
        shares_table(
            f"{caption} (one repetition)",
            ["Split, start", *kinds],
            [
                (
                    f"{SPLITS[split]}, from {STARTS[start]}",
                    [by_key[split, start, kind][figure] for kind in kinds],
                )
                for split, start in ways
            ],
        )
        for figure, caption in captions.items()
    ]


def growth_curves(evaluation: Mapping[str, Any]) -> Section:
    """Figures 6 to 8: accuracy, precision and F1 as classes grow."""
    records = evaluation["growth"]
    labels = {"recall": "Recall (accuracy)", "precision": "Precision", "f1": "F1"}
    groups = []
    for place, probes in enumerate(distinct(record["probes"] for record in records)):
        of = [record for record in records if record["probes"] == probes]
        blocks: list[Table | Plot] = [
            growth(f"growth-{place}-{metric}", metric, label, probes, of)
            for metric, label in labels.items()
        ]
        groups.append(Group(blocks, f"Probes: {probes}"))
        groups.append(
            Group(
                [_growth_table(of, metric, f"{labels[metric]}, {probes}, %") for metric in labels],
                f"Probes: {probes}, as tables",
                folded=True,
            )
        )
    return Section("growth", "Growth", groups, ("What is lost as classes grow.",))


def losses(evaluation: Mapping[str, Any]) -> Section:
    """All losses on the same split."""
    records = evaluation["losses"]
    kinds = distinct(record["probes"] for record in records)
    heads = distinct(record["head"] for record in records)
    recall = {(record["head"], record["probes"]): record["recall"] for record in records}
    table = shares_table(
        "Macro recall of subnets trained with each loss, %",
        ["Loss", *kinds],
        [(head, [recall.get((head, kind)) for kind in kinds]) for head in heads],
    )
    epochs = {record["head"]: record["epochs"] for record in records}
    with_epochs = replace(
        table,
        columns=[*table.columns, "Epochs"],
        rows=[
            replace(row, cells=[*row.cells, Cell(f"{mean_of(epochs[row.name]):.1f}")])
            for row in table.rows
        ],
        note="Epochs are the mean over the subnets.",
    )
    return Section("losses", "Losses", [Group([with_epochs])])


def _overview(records: Sequence[Mapping[str, Any]], clusters: int) -> Table:
    kinds = distinct(record["probes"] for record in records)
    recall = {(record["scenario"], record["probes"]): record["recall"] for record in records}
    scenarios = distinct(record["scenario"] for record in records)
    return shares_table(
        f"{clusters_name(clusters)}: macro recall by kind of probes, %",
        ["Scenario", *kinds],
        [
            (scenario_name(scenario), [recall.get((scenario, kind)) for kind in kinds])
            for scenario in scenarios
        ],
        ours=OURS_NAME,
    )


def _one_kind(records: Sequence[Mapping[str, Any]], kind: str, clusters: int) -> Table:
    return shares_table(
        f"{clusters_name(clusters)}, probes: {kind}, %",
        ["Scenario", *METRICS.values()],
        [
            (scenario_name(record["scenario"]), [record[metric] for metric in METRICS])
            for record in records
            if record["probes"] == kind
        ],
        ours=OURS_NAME,
    )


def _paired(records: Sequence[Mapping[str, Any]], clusters: int) -> Table:
    found = {(record["probes"], record["against"]): record for record in records}
    rivals = distinct(record["against"] for record in records)
    rows = []
    for kind in distinct(record["probes"] for record in records):
        cells: list[Cell] = []
        for rival in rivals:
            record = found[kind, rival]
            difference = record["recall_difference"]
            cells.append(Cell(points(mean_of(difference)), spread_of(difference)))
            cells.append(Cell(p_value(record["p_value"])))
        rows.append(Row(kind, cells))
    return Table(
        f"{clusters_name(clusters)}: macro recall of ours, difference in points",
        ["Probes", *(head for rival in rivals for head in (f"to {scenario_name(rival)}", "p"))],
        rows,
        "Positive is better. Paired by repetition; the kinds of probes are tested one by one, "
        "without a correction for their number.",
    )


def _growth_table(records: Sequence[Mapping[str, Any]], metric: str, caption: str) -> Table:
    classes = sorted(distinct(record["classes"] for record in records))
    found = {(record["scenario"], record["classes"]): record[metric] for record in records}
    return shares_table(
        caption,
        ["Scenario", *(f"{count:,}" for count in classes)],
        [
            (scenario_name(scenario), [found.get((scenario, count)) for count in classes])
            for scenario in distinct(record["scenario"] for record in records)
        ],
        ours=OURS_NAME,
    )
