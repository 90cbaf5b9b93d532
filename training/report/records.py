"""The evaluation's tables as flat records, one CSV file each."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Record = dict[str, Any]


def csv_tables(
    evaluation: Mapping[str, Any], epochs: Mapping[str, Any] | None
) -> dict[str, list[Record]]:
    """Flatten every table that there is.

    Args:
        evaluation: as `training.report.write.write_report` takes it.
        epochs: likewise.

    Returns:
        Records by the name of their table. Shares stay in [0, 1]; a value with mean and sd makes
        the columns NAME_mean and NAME_sd, its single repetitions are in the JSON alone.
    """
    tables = {
        name: [_flat(record) for record in evaluation.get(name, ())]
        for name in ("identification", "paired", "cluster_finding", "growth", "losses", "starts")
    }
    tables["open_set"] = list(_open_set(evaluation.get("open_set", ())))
    tables["det"] = [
        {**_key(curve), "fpir": fpir, "fnir": fnir}
        for curve in evaluation.get("det", ())
        for fpir, fnir in zip(curve["fpir"], curve["fnir"], strict=True)
    ]
    tables["distributions"] = list(_bins(evaluation.get("distributions", ())))
    clusterings = evaluation.get("clusters", ())
    tables["cluster_sizes"] = [
        {"count": clustering["count"], "cluster": cluster, "size": size}
        for clustering in clusterings
        for cluster, size in enumerate(clustering["sizes"])
    ]
    tables["placement"] = [
        {
            "count": clustering["count"],
            "placement": placement,
            "own_cluster_share": share,
            "mean_clusters_a_class": clustering.get("mean_clusters_a_class", {}).get(placement),
        }
        for clustering in clusterings
        for placement, share in clustering.get("own_cluster_share", {}).items()
    ]
    tables["map"] = _columns(evaluation.get("map", {}), ("x", "y", "cluster"))
    calibration = evaluation.get("calibration", {})
    for name in ("weights", "clusters_searched", "reliability"):
        tables[name] = [_flat(record) for record in calibration.get(name, ())]
    tables["thresholds"] = [
        {"fpir": rate["fpir"], **at_size}
        for rate in calibration.get("thresholds", ())
        for at_size in rate["by_gallery_size"]
    ]
    tables["epochs"] = list(_epochs(epochs)) if epochs else []
    return {name: records for name, records in tables.items() if records}


def as_csv(records: Sequence[Record]) -> bytes:
    """Write records as CSV with a head, in UTF-8; the columns are the union of theirs."""
    text = io.StringIO()
    columns = dict.fromkeys(column for record in records for column in record)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def _flat(record: Mapping[str, Any]) -> Record:
    flat: Record = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}_{key}": value[key] for key in ("mean", "sd") if key in value})
        else:
            flat[name] = value
    return flat


def _key(record: Mapping[str, Any]) -> Record:
    return {"probes": record["probes"], "scenario": record["scenario"]}


def _open_set(records: Iterable[Mapping[str, Any]]) -> Iterable[Record]:
    for record in records:
        observed = record.get("observed_fpir", {})
        missed = record.get("observed_fnir", {})
        for fpir in dict.fromkeys([*record["fnir"], *observed]):
            told = {
                name: figures[fpir]
                for name, figures in (
                    ("fnir", record["fnir"]),
                    ("observed_fpir", observed),
                    ("observed_fnir", missed),
                )
                if fpir in figures
            }
            yield {**_key(record), "fpir": float(fpir), **_flat(told)}


def _bins(records: Iterable[Mapping[str, Any]]) -> Iterable[Record]:
    for record in records:
        edges = record["edges"]
        counts = zip(edges[:-1], edges[1:], record["mated"], record["non_mated"], strict=True)
        for low, high, mated, non_mated in counts:
            yield {
                **_key(record),
                "from": low,
                "to": high,
                "mated": mated,
                "non_mated": non_mated,
                "threshold": record["threshold"],
            }


def _epochs(epochs: Mapping[str, Any]) -> Iterable[Record]:
    size = {"classes": epochs["classes"], "subnets": epochs["subnets"]}
    whole = epochs["flat_fraction"] >= 1
    serial = {"seconds": epochs["serial_seconds"], "speed_up": epochs["serial_speed_up"]}
    flat = {"seconds": epochs["flat_seconds"], "speed_up": 1.0, "measured": whole}
    yield {**size, "way": "flat", "workers": 1, **flat, "peak_mb": epochs["flat_peak_mb"]}
    yield {
        **size,
        "way": "serial",
        "workers": 1,
        **serial,
        "measured": True,
        "peak_mb": epochs["subnet_peak_mb"],
    }
    for shared in epochs["parallel"]:
        yield {**size, "way": "parallel", **shared}


def _columns(columns: Mapping[str, Any], names: Sequence[str]) -> list[Record]:
    rows = zip(*(columns.get(name, ()) for name in names), strict=True)
    return [dict(zip(names, row, strict=True)) for row in rows]
