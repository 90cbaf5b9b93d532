"""What was measured, in the forms in which the report and a bundle's manifest show it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from training.evaluation.records import Record
from training.evaluation.scenarios import FUSED, KNN, NEAREST_SAMPLE
from training.settings import TrainingSettings

QUALITIES = ("good", "poor")
SAMPLES = ("one sample", "several samples")


def nested(row: Record) -> Record:
    """Figures by FPIR in objects of their own."""
    nested: Record = {}
    for name, value in row.items():
        figure, _, fpir = name.partition(" ")
        if fpir and isinstance(value, dict):
            nested.setdefault(figure, {})[fpir] = value
        else:
            nested[name] = value
    return nested


def flat_settings(settings: TrainingSettings, target_sizes: Sequence[int]) -> dict[str, Any]:
    flat = asdict(settings)
    subnets = flat.pop("subnets")
    subnets["betas"] = list(subnets["betas"])
    sizes = ", ".join(str(size) for size in target_sizes)
    return (
        flat
        | {f"subnets: {name}": value for name, value in subnets.items()}
        | {"target_size": sizes}
    )


def summary_of(first: dict[str, Any]) -> dict[str, Any]:
    """Of the repetition that is published, the scenarios that are served."""
    served = (KNN, NEAREST_SAMPLE, FUSED)
    clusters = first["identification"][0]["clusters"]
    recall: dict[str, dict[str, float]] = {}
    for row in first["identification"]:
        if row["scenario"] in served and row["clusters"] == clusters:
            recall.setdefault(row["probes"], {})[row["scenario"]] = round(row["recall"], 6)
    open_set = {
        f"{row['probes']}, {row['scenario']}": {
            name: round(value, 6) for name, value in row.items() if isinstance(value, float)
        }
        for row in first["open_set"]
    }
    return {"counts": first["counts"], "macro_recall": recall, "open_set": open_set}


def shown_calibration(calibration: dict[str, Any]) -> dict[str, Any]:
    """What was calibrated, as the report's tables have it."""
    weights = calibration["fusion"]["weights"]
    validation = calibration["validation"]
    return {
        "weights": [
            {
                "when": f"{quality} picture, candidate with {samples}",
                "subnet": row[0],
                "class_mean": row[1],
                "best_sample": row[2],
            }
            for quality, pair in zip(QUALITIES, weights, strict=True)
            for samples, row in zip(SAMPLES, pair, strict=True)
        ],
        "needed_share": calibration["fusion"]["needed_share"],
        "clusters_searched": [
            {"probes": name}
            | {key: value for key, value in figures.items() if key.startswith(("clusters", "mate"))}
            for name, figures in validation.items()
        ],
        "thresholds": calibration["thresholds"],
        "reliability": calibration["reliability"],
    }
