"""The same scenarios with hard probes: 24 px, blur, darkness, JPEG quality 20, half covered.

make bench-hard LFW=<folder of people> PROTOCOL=<folder with lfw-same-person.tsv> OUT=<folder>

The gallery is untouched and each kind of probe stands apart. The trainings are those of
`bench-training`: with the same OUT they are not done again.
"""

import sys
from collections.abc import Mapping
from typing import Any

from benchmarks.demands import Demand, show
from benchmarks.report import write_results
from benchmarks.training_runs import arguments, evaluation_of, plain, recalls

LEAST_GAINS = {
    "24 px": {"knn": 0.03, "nearest sample": 0.02},
    "half covered": {"knn": 0.025, "nearest sample": 0.0},
}
"""Of macro recall, of ours; on all other kinds at least `WORST_LOSS` against KNN."""
WORST_LOSS = -0.001


def main() -> None:
    given = arguments(__doc__)
    evaluation = evaluation_of(given.lfw, given.protocol, given.out)
    write_results("hard", figures(evaluation))
    sys.exit(show(demands(evaluation)))


def figures(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Recall, its gain, cluster finding and rejection, by kind of probe; means of repetitions."""
    found: dict[str, float] = {}
    for row in _hard(evaluation["identification"]):
        name_of = plain(row["clusters"], "clusters", row["probes"], row["scenario"], "recall")
        found[name_of] = row["recall"]["mean"]
        found[f"{name_of}_sd"] = row["recall"]["sd"]
    for row in _hard(evaluation["paired"]):
        name_of = plain(row["clusters"], "clusters", row["probes"], "against", row["against"])
        found[f"{name_of}_recall_difference"] = row["recall_difference"]["mean"]
        if row["p_value"] is not None:
            found[f"{name_of}_p_value"] = row["p_value"]
    for row in _hard(evaluation["cluster_finding"]):
        name_of = plain(row["clusters"], row["split"], row["representative"], row["probes"])
        found[f"{name_of}_found"] = row["accuracy"]["mean"]
    for row in _hard(evaluation["open_set"]):
        for figure in ("fnir", "observed_fpir", "observed_fnir"):
            for fpir, value in row.get(figure, {}).items():
                name_of = plain("open set", row["probes"], row["scenario"], figure, "at", fpir)
                found[name_of] = value["mean"]
    return found


def demands(evaluation: Mapping[str, Any]) -> list[Demand]:
    """What must be true of each kind of hard probe."""
    bounds = []
    kinds = dict.fromkeys(row["probes"] for row in _hard(evaluation["identification"]))
    for clusters in sorted({row["clusters"] for row in evaluation["identification"]}):
        for probes in kinds:
            own = recalls(evaluation, clusters, probes)
            for against, least in LEAST_GAINS.get(probes, {"knn": WORST_LOSS}).items():
                what = f"{clusters} clusters, {probes}: fused over {against}"
                bounds.append(Demand(what, own["fused"] - own[against], least))
    return bounds


def _hard(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["probes"] not in ("clean", "train")]


if __name__ == "__main__":
    main()
