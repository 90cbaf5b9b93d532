import pytest

from tests.training.report.made_up_evaluation import made_up_evaluation
from training.report import score_plots

pytestmark = pytest.mark.torch


def test_det_curves_leave_out_rates_of_none() -> None:
    curves = [{"scenario": "knn", "probes": "clean", "fpir": [0, 0.01, 0.1], "fnir": [1, 0.5, 0]}]
    plot = score_plots.det_curves("det", "clean", curves)
    assert "Nearest class mean (KNN)" in plot.svg
    assert "clean" in plot.description


def test_a_distribution_shows_the_threshold_and_survives_empty_counts() -> None:
    record = made_up_evaluation()["distributions"][0]
    for of in (record, record | {"mated": [0] * 40}):
        plot = score_plots.distribution("scores", of)
        assert ">threshold 0.43<" in plot.svg
        assert "0.43" in plot.description


def test_reliability_and_thresholds_are_drawn() -> None:
    calibration = made_up_evaluation()["calibration"]
    assert "5 bins" in score_plots.reliability("r", calibration["reliability"]).description
    plot = score_plots.thresholds("t", calibration["thresholds"])
    assert ">FPIR 0.3\N{NO-BREAK SPACE}%<" in plot.svg
