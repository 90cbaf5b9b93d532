"""The sections on what stands behind the figures: clusters, epoch times, settings."""

from collections.abc import Mapping
from typing import Any

from training.report.layout import Group, Plot, Section, Table, text_table
from training.report.names import NOTHING, clusters_name, number, percent, words
from training.report.plots import class_map, cluster_sizes
from training.timing.paper import TABLE_3

PLACEMENTS = {
    "mean": "By the class mean",
    "majority": "Where most of its samples are",
    "any": "Where any of its samples is",
    "share": "Where at least a share of its samples is",
}


def clusters(evaluation: Mapping[str, Any]) -> Section:
    """Sizes, the map of class means, and how often a class's samples are in its own cluster."""
    clusterings = evaluation.get("clusters", ())
    tables: list[Table | Plot] = []
    if clusterings:
        rows = [
            [
                number(each["count"]),
                number(min(each["sizes"])),
                f"{sum(each['sizes']) / len(each['sizes']):,.1f}",
                number(max(each["sizes"])),
            ]
            for each in clusterings
        ]
        tables.append(
            text_table("Classes a cluster", ["Clusters", "Smallest", "Mean", "Largest"], rows)
        )
    tables += [_placement(each) for each in clusterings if each.get("own_cluster_share")]
    plots: list[Table | Plot] = []
    if points := evaluation.get("map"):
        plots.append(class_map("map", points))
    plots += [
        cluster_sizes(f"sizes-{place}", each["sizes"]) for place, each in enumerate(clusterings)
    ]
    return Section("clusters", "Clusters", [Group(tables), Group(plots)])


def epoch_times(epochs: Mapping[str, Any]) -> Section:
    """Table 3: an epoch of the flat layer, of the subnets one by one, and shared out."""
    paper = epochs["paper"] or {}
    ran = epochs["flat_fraction"]
    how = "measured" if ran >= 1 else f"scaled up from {percent(ran, 1)} % of an epoch"
    lines = [
        ("Flat", epochs["flat_seconds"], 1.0, how, epochs["flat_peak_mb"], "flat_seconds"),
        (
            "Subnets, one after the other",
            epochs["serial_seconds"],
            epochs["serial_speed_up"],
            "measured",
            epochs["subnet_peak_mb"],
            "serial_seconds",
        ),
    ]
    lines += [
        (
            f"Subnets, {shared['workers']} workers",
            shared["seconds"],
            shared["speed_up"],
            "measured" if shared["measured"] else "calculated from each subnet's own seconds",
            None,
            "parallel_seconds" if shared["workers"] == epochs["subnets"] else "",
        )
        for shared in epochs["parallel"]
    ]
    table = text_table(
        f"Seconds an epoch, {epochs['classes']:,} classes in {epochs['subnets']} subnets",
        ["", "Seconds", "Times faster", "Peak memory of a process, MB", "The paper, s", "How"],
        [
            [
                way,
                f"{seconds:,.2f}",
                f"{speed_up:.1f}",
                NOTHING if peak is None else f"{peak:,.0f}",
                number(paper.get(key)),
                source,
            ]
            for way, seconds, speed_up, source, peak, key in lines
        ],
    )
    # What the table shows already.
    shown = {"classes", "subnets", "flat_fraction", "parallel", "paper"}
    shown |= {"flat_seconds", "serial_seconds", "serial_speed_up", "flat_peak_mb", "subnet_peak_mb"}
    rest = [[words(name), number(epochs[name])] for name in epochs if name not in shown]
    text = ["Timed on synthetic vectors."] if epochs["synthetic"] else []
    return Section(
        "epochs",
        "Epoch times",
        [Group([table, text_table("Measured with", ["What", "Value"], rest)])],
        [*text, _paper_table_3()],
    )


def making(evaluation: Mapping[str, Any]) -> Section:
    """Settings, seeds, counts, embedder, and what was skipped."""
    embedder = evaluation["embedder"]
    made = [
        ["Embedder", embedder["name"]],
        ["Its SHA-256", embedder["sha256"]],
        ["Seed", str(evaluation["seed"])],
        ["Repetitions", number(evaluation["repetitions"])],
        ["Vectors", "synthetic" if evaluation["synthetic"] else "of pictures"],
    ]
    tables = [text_table("Made with", ["What", "Value"], made)]
    for key, caption, head in (
        ("counts", "Counts", "What"),
        ("settings", "Settings", "Setting"),
        ("skipped", "Skipped", "Reason"),
    ):
        values = [[words(name), number(value)] for name, value in evaluation.get(key, {}).items()]
        if values:
            tables.append(text_table(caption, [head, "Value"], values))
    return Section("making", "How it was made", [Group(tables)])


def _placement(clustering: Mapping[str, Any]) -> Table:
    own, count = clustering["own_cluster_share"], clustering["count"]
    a_class = clustering.get("mean_clusters_a_class", {})
    return text_table(
        f"{clusters_name(count)}: classes' own samples that fall into their clusters",
        ["Placed", "Share, %", "Clusters a class"],
        [
            [
                PLACEMENTS.get(name, name),
                percent(share),
                f"{a_class[name]:.2f}" if name in a_class else NOTHING,
            ]
            for name, share in own.items()
        ],
    )


def _paper_table_3() -> str:
    rows = [
        f"{row.classes:,} classes in {row.subnets} subnets {row.flat_seconds:g} / "
        f"{row.serial_seconds:g} / {row.parallel_seconds:g}"
        for row in TABLE_3
    ]
    return f"The paper (GTX 1660; flat / serial / parallel, s): {'; '.join(rows)}."
