import json

import pytest
from scipy import stats

from training.evaluation.metrics import paired_p_value
from training.evaluation.records import Record, aggregated, paired


def row(scenario: str, recall: float, *, clusters: int = 2, probes: str = "clean") -> Record:
    return {"clusters": clusters, "probes": probes, "scenario": scenario, "recall": recall}


def test_records_of_the_same_are_joined_in_the_first_ones_order() -> None:
    first = [row("knn", 0.5), row("fused", 0.6), row("fused", 0.9, clusters=4)]
    second = [row("fused", 0.8, clusters=4), row("fused", 0.8), row("knn", 0.7)]
    joined = aggregated([first, second])
    assert [(each["clusters"], each["scenario"]) for each in joined] == [
        (2, "knn"),
        (2, "fused"),
        (4, "fused"),
    ]
    assert joined[0]["recall"] == {
        "mean": pytest.approx(0.6),
        "sd": pytest.approx(0.02**0.5),
        "values": [0.5, 0.7],
    }
    assert joined[2]["recall"]["values"] == [0.9, 0.8]
    json.dumps(joined, allow_nan=False)


def test_what_one_repetition_lacks_is_left_out() -> None:
    first = [{"probes": "clean", "fnir 0.1": 0.2, "fnir 0.01": 0.4}, row("knn", 0.5)]
    second = [{"probes": "clean", "fnir 0.1": 0.3}]
    (joined,) = aggregated([first, second])
    assert set(joined) == {"probes", "fnir 0.1"}
    assert joined["fnir 0.1"]["values"] == [0.2, 0.3]
    assert aggregated([first, []]) == []


def test_one_repetition_has_no_deviation() -> None:
    (joined,) = aggregated([iter([row("knn", 1.0)])])
    assert joined == row("knn", 0) | {"recall": {"mean": 1.0, "sd": None, "values": [1.0]}}


def test_pairs_are_of_the_same_repetition_clusters_and_probes() -> None:
    repetitions = [
        [
            row("knn", 0.5 + shift),
            row("fused", 0.6 + 2 * shift),
            row("nearest sample", 0.6 + 2 * shift),
            row("fused", 0.9, probes="24 px"),
            row("knn", 0.4, probes="24 px"),
            row("nearest sample", 0.8, probes="24 px"),
        ]
        for shift in (0.0, 0.01, 0.03)
    ]
    compared = paired(aggregated(repetitions), "fused", ("knn", "nearest sample"))
    assert [(each["probes"], each["of"], each["against"]) for each in compared] == [
        ("clean", "fused", "knn"),
        ("clean", "fused", "nearest sample"),
        ("24 px", "fused", "knn"),
        ("24 px", "fused", "nearest sample"),
    ]
    differences = [0.1, 0.11, 0.13]
    assert compared[0]["recall_difference"]["values"] == pytest.approx(differences)
    fused, knn = [0.6, 0.62, 0.66], [0.5, 0.51, 0.53]
    assert compared[0]["p_value"] == pytest.approx(stats.ttest_rel(fused, knn).pvalue)
    assert compared[1]["p_value"] is None
    assert compared[1]["recall_difference"]["mean"] == 0
    json.dumps(compared, allow_nan=False)


def test_without_repetitions_there_is_no_p_value() -> None:
    assert paired_p_value([0.5]) is None
    assert paired_p_value([]) is None
    assert paired_p_value([0.2, 0.2]) is None
