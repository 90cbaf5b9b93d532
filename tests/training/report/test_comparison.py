from typing import Any

import pytest

from training.report.comparison import Comparison, fnir_comparisons, recall_comparisons


def record(scenario: str, *values: float, clusters: int = 12) -> dict[str, Any]:
    recall = {"mean": sum(values) / len(values), "sd": None, "values": list(values)}
    return {"clusters": clusters, "probes": "clean", "scenario": scenario, "recall": recall}


def compare(*records: dict[str, Any], p_value: float | None = None) -> Comparison:
    paired = [
        {"clusters": 12, "probes": "clean", "of": "fused", "against": "knn", "p_value": p_value}
    ]
    (found,) = recall_comparisons({"identification": list(records), "paired": paired})
    return found


@pytest.mark.parametrize(
    ("ours", "class_mean", "p_value", "verdict"),
    [
        pytest.param([0.90, 0.91], [0.85, 0.86], None, 1, id="better each time"),
        pytest.param([0.85, 0.86], [0.90, 0.91], None, -1, id="worse each time"),
        pytest.param([0.90, 0.84], [0.85, 0.86], None, 0, id="now better, now worse"),
        pytest.param([0.90, 0.91], [0.85, 0.86], 0.3, 0, id="may be chance"),
        pytest.param([0.90, 0.84], [0.85, 0.86], 0.01, 1, id="tested"),
        pytest.param([0.9009], [0.9], 0.0001, 0, id="below a tenth of a point"),
        pytest.param([0.899], [0.898], 0.0001, 1, id="a tenth of a point"),
    ],
)
def test_a_gain_counts_where_it_is_noticeable_and_no_accident(
    ours: list[float], class_mean: list[float], p_value: float | None, verdict: int
) -> None:
    found = compare(record("fused", *ours), record("knn", *class_mean), p_value=p_value)
    assert found.verdict == verdict


def test_ours_is_held_against_the_better_of_the_two() -> None:
    found = compare(
        record("fused", 0.9, 0.9),
        record("knn", 0.85, 0.85),
        record("nearest sample", 0.91, 0.91),
        p_value=0.001,
    )
    assert found.gain == pytest.approx(-0.01)
    assert found.verdict == -1


def test_one_repetition_says_nothing_of_chance() -> None:
    assert compare(record("fused", 0.95), record("knn", 0.85)).verdict == 0


def test_the_first_number_of_clusters_counts() -> None:
    found = compare(
        record("fused", 0.90),
        record("knn", 0.85),
        record("fused", 0.1, clusters=3),
        record("knn", 0.2, clusters=3),
    )
    assert (found.ours, found.class_mean) == (0.90, 0.85)


def test_a_lower_error_rate_is_a_gain() -> None:
    rates = {"fused": 0.08, "knn": 0.12, "nearest sample": 0.1}
    records = [
        {"probes": "clean", "scenario": scenario, "fnir": {"0.01": rate}}
        for scenario, rate in rates.items()
    ]
    (found,) = fnir_comparisons({"open_set": records}, "0.01")
    assert found.gain == pytest.approx(0.02)
    assert found.verdict == 1
    assert fnir_comparisons({"open_set": records}, "0.5") == []


def test_nothing_is_compared_without_a_rival() -> None:
    assert recall_comparisons({}) == []
    assert recall_comparisons({"identification": [record("fused", 0.9)]}) == []
