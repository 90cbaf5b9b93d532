"""The eight scenarios and the finding of clusters on Labeled Faces in the Wild, clean probes.

make bench-training LFW=<folder of people> PROTOCOL=<folder with lfw-same-person.tsv> OUT=<folder>

5,749 classes in 12 clusters, and in 3; tested are the people with five pictures or more; five
repetitions with splits of their own. `bench-hard` has the hard probes of the same trainings.
"""

import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.demands import Demand, show
from benchmarks.report import write_results
from benchmarks.training_runs import arguments, evaluation_of, plain, recalls

CLEAN = "clean"
WORST_LOSS = -0.001
"""Of macro recall, of ours against the better of KNN and nearest sample."""


def main() -> None:
    given = arguments(__doc__)
    evaluation = evaluation_of(given.lfw, given.protocol, given.out)
    write_results("training", figures(evaluation))
    sys.exit(show(demands(evaluation)))


def figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """All clean figures, as means over the repetitions."""
    found: dict[str, float] = {
        name: float(count) for name, count in evaluation["counts"].items() if count
    }
    for row in evaluation["identification"]:
        if row["probes"] == CLEAN:
            for name in ("precision", "recall", "f1", "rank1"):
                name_of = plain(row["clusters"], "clusters", row["scenario"], name)
                found[name_of] = row[name]["mean"]
                found[f"{name_of}_sd"] = row[name]["sd"]
    for row in evaluation["paired"]:
        if row["probes"] == CLEAN:
            name_of = plain(row["clusters"], "clusters fused against", row["against"])
            found[f"{name_of}_recall_difference"] = row["recall_difference"]["mean"]
            if row["p_value"] is not None:
                found[f"{name_of}_p_value"] = row["p_value"]
    for row in evaluation["cluster_finding"]:
        if row["probes"] in ("train", CLEAN):
            probes = "train" if row["probes"] == "train" else "test"
            name_of = plain(row["clusters"], row["split"], row["representative"], probes, "found")
            found[name_of] = row["accuracy"]["mean"]
    for row in evaluation["open_set"]:
        if row["probes"] == CLEAN:
            for figure in ("fnir", "observed_fpir", "observed_fnir"):
                for fpir, value in row.get(figure, {}).items():
                    found[plain("open set", row["scenario"], figure, "at", fpir)] = value["mean"]
    for row in evaluation["losses"]:
        found[plain("loss", row["head"], row["probes"], "recall")] = row["recall"]
    return found


def demands(evaluation: Mapping[str, Any]) -> list[Demand]:
    """What must be true of the clean probes."""
    found = {
        (row["clusters"], row["split"], row["representative"]): row["accuracy"]["mean"]
        for row in evaluation["cluster_finding"]
        if row["probes"] == CLEAN
    }
    bounds = []
    for clusters in sorted({row["clusters"] for row in evaluation["identification"]}):
        own = recalls(evaluation, clusters, CLEAN)
        better = max(own["knn"], own["nearest sample"])
        what = f"{clusters} clusters, clean: fused over the better of KNN and nearest sample"
        bounds.append(Demand(what, own["fused"] - better, WORST_LOSS))
        for by in ("nearest class mean", "max-max"):
            gain = found[clusters, "clustered", by] - found[clusters, "random", by]
            what = f"{clusters} clusters found by {by}, clustered over random"
            # More of the probes: a tie is a miss.
            bounds.append(Demand(what, gain, 1e-9))
    return bounds


if __name__ == "__main__":
    main()
