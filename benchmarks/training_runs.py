"""The trainings on Labeled Faces in the Wild that two benchmarks read their figures from."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from benchmarks.lfw import names_in_error
from models.weights import DEFAULT_EMBEDDER
from training.embedding.folders import embed_folder
from training.embedding.listing import EmbedSettings
from training.evaluation.evaluate import evaluate
from training.report.write import write_report
from training.settings import TrainingSettings, Workers
from training.stores.store import EmbeddingStore

TARGET_SIZES = (480, 1_916)
"""Classes a cluster: 12 clusters of the 5,749 people, and 3 beside it."""
REPETITIONS = 5
EMBEDDED = EmbedSettings(hard_from_pictures=1)
"""Hard probes of everybody: strangers have them too, and most people have one picture."""

console = Console(stderr=True)


def arguments(description: str | None) -> argparse.Namespace:
    """Of both benchmarks."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--lfw", type=Path, required=True, help="one folder a person")
    parser.add_argument("--protocol", type=Path, required=True, help="has lfw-same-person.tsv")
    parser.add_argument("--out", type=Path, required=True, help="what is finished stays there")
    return parser.parse_args()


def evaluation_of(lfw: Path, protocol: Path, out: Path) -> dict[str, Any]:
    """Embed, train and measure; what an earlier call has finished in `out` is taken over.

    Names in error are enrolled like all others, for the closed set has 5,749 classes. They are
    kept out of the open set, where one person under two names would be a stranger who is known.
    """
    out.mkdir(parents=True, exist_ok=True)
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console) as bars:
        pictures, steps = bars.add_task("pictures"), bars.add_task("evaluation", total=None)
        embed_folder(
            lfw,
            out / "store",
            embedder_manifest=DEFAULT_EMBEDDER,
            settings=EMBEDDED,
            progress=lambda done, total: bars.update(pictures, completed=done, total=total),
        )
        evaluation = evaluate(
            EmbeddingStore.open(out / "store"),
            out / "evaluation",
            TrainingSettings(target_size=TARGET_SIZES[0]),
            Workers(),
            repetitions=REPETITIONS,
            target_sizes=TARGET_SIZES,
            left_out=sorted(names_in_error(protocol)),
            progress=lambda done, total: bars.update(steps, completed=done, total=total),
        )
    page = write_report(evaluation, out, title="Labeled Faces in the Wild")
    console.print(f"report: {page}")
    return evaluation


def recalls(evaluation: Mapping[str, Any], clusters: int, probes: str) -> dict[str, float]:
    """Mean macro recall of each scenario, in [0, 1]."""
    return {
        row["scenario"]: row["recall"]["mean"]
        for row in evaluation["identification"]
        if (row["clusters"], row["probes"]) == (clusters, probes)
    }


def plain(*words: object) -> str:
    """A figure's name: "24 px" and "clusters + max-max" in letters, digits and underscores."""
    text = "_".join(str(word) for word in words)
    kept = "".join(letter if letter.isalnum() else "_" for letter in text.lower())
    return "_".join(part for part in kept.split("_") if part)
