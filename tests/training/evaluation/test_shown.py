import json
from typing import Any

import pytest

from training.evaluation.shown import flat_settings, nested, shown_calibration, summary_of
from training.settings import TrainingSettings
from training.subnets.settings import SubnetSettings

pytestmark = pytest.mark.torch


def test_figures_by_fpir_get_objects_of_their_own() -> None:
    one, two = {"mean": 0.1}, {"mean": 0.2}
    row = {
        "probes": "24 px",
        "scenario": "nearest sample",
        "fnir 0.1": one,
        "fnir 0.01": two,
        "observed_fpir 0.01": one,
        "recall": two,
    }
    assert nested(row) == {
        "probes": "24 px",
        "scenario": "nearest sample",
        "fnir": {"0.1": one, "0.01": two},
        "observed_fpir": {"0.01": one},
        "recall": two,
    }


def test_settings_are_flat() -> None:
    settings = TrainingSettings(seed=3, subnets=SubnetSettings(epochs=7))
    shown = flat_settings(settings, (100, 50))
    assert shown["seed"] == 3
    assert shown["subnets: epochs"] == 7
    assert shown["target_size"] == "100, 50"
    assert "subnets" not in shown
    assert not any(isinstance(value, dict) for value in shown.values())


def measured(scenario: str, clusters: int, recall: float) -> dict[str, Any]:
    return {"clusters": clusters, "probes": "clean", "scenario": scenario, "recall": recall}


def test_the_summary_is_of_what_is_served_at_the_main_size() -> None:
    first = {
        "counts": {"classes": 9},
        "identification": [
            measured("flat", 4, 0.5),
            measured("knn", 4, 0.61234567),
            measured("fused", 4, 0.7),
            measured("knn", 2, 0.1),
        ],
        "open_set": [{"probes": "clean", "scenario": "fused", "fnir 0.1": 0.25, "searches": 3}],
    }
    assert summary_of(first) == {
        "counts": {"classes": 9},
        "macro_recall": {"clean": {"knn": 0.612346, "fused": 0.7}},
        "open_set": {"clean, fused": {"fnir 0.1": 0.25}},
    }


def test_the_calibration_is_told_in_tables() -> None:
    weights = [[[0.1, 0.2, 0.7], [0.2, 0.2, 0.6]], [[0.3, 0.2, 0.5], [0.4, 0.2, 0.4]]]
    shown = shown_calibration(
        {
            "fusion": {"needed_share": 0.9, "weights": weights},
            "validation": {
                "clean": {"probes": 5, "missed": 0.1, "clusters_1": 0.75, "mate_searched": 1.0}
            },
            "thresholds": [{"fpir": 0.1}],
            "reliability": [{"count": 4}],
        }
    )
    assert [row["subnet"] for row in shown["weights"]] == [0.1, 0.2, 0.3, 0.4]
    assert shown["weights"][1] == {
        "when": "good picture, candidate with several samples",
        "subnet": 0.2,
        "class_mean": 0.2,
        "best_sample": 0.6,
    }
    assert shown["weights"][2]["when"] == "poor picture, candidate with one sample"
    assert shown["needed_share"] == 0.9
    assert shown["clusters_searched"] == [
        {"probes": "clean", "clusters_1": 0.75, "mate_searched": 1.0}
    ]
    assert shown["thresholds"] == [{"fpir": 0.1}]
    assert shown["reliability"] == [{"count": 4}]
    json.dumps(shown, allow_nan=False)
