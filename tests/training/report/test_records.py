import csv
import io

from tests.training.report.made_up_evaluation import made_up_epochs, made_up_evaluation
from training.report.records import as_csv, csv_tables


def test_every_table_of_the_evaluation_becomes_records() -> None:
    evaluation = made_up_evaluation()
    tables = csv_tables(evaluation, made_up_epochs())
    for name in ("identification", "paired", "cluster_finding", "growth", "losses"):
        assert len(tables[name]) == len(evaluation[name])
    calibration = evaluation["calibration"]
    for name in ("weights", "clusters_searched", "reliability"):
        assert tables[name] == calibration[name]
    assert len(tables["thresholds"]) == 4 * 4
    assert len(tables["open_set"]) == 8 * 3
    assert len(tables["det"]) == 8 * 60
    assert len(tables["distributions"]) == 4 * 40
    assert len(tables["cluster_sizes"]) == 12 + 3
    assert len(tables["placement"]) == 2 * 4
    assert len(tables["map"]) == 5749
    assert [(row["way"], row["workers"], row["seconds"]) for row in tables["epochs"]] == [
        ("flat", 1, 5412.25),
        ("serial", 1, 301.75),
        ("parallel", 2, 152.5),
        ("parallel", 25, 12.75),
    ]


def test_values_with_a_spread_take_two_columns() -> None:
    evaluation = made_up_evaluation()
    record = evaluation["identification"][3]
    flat = csv_tables(evaluation, None)["identification"][3]
    assert flat["scenario"] == record["scenario"]
    assert (flat["recall_mean"], flat["recall_sd"]) == (
        record["recall"]["mean"],
        record["recall"]["sd"],
    )
    assert "recall" not in flat


def test_rates_observed_stand_beside_those_asked_for() -> None:
    evaluation = made_up_evaluation()
    first, second = csv_tables(evaluation, None)["open_set"][:2]
    observed = evaluation["open_set"][0]["observed_fpir"]["0.01"]
    assert (first["fpir"], second["fpir"]) == (0.1, 0.01)
    assert "observed_fpir_mean" not in first
    assert second["observed_fpir_mean"] == observed["mean"]


def test_tables_that_are_not_there_are_left_out() -> None:
    assert csv_tables({}, None) == {}


def test_csv_can_be_read_back_with_commas_quotes_and_missing_columns() -> None:
    data = as_csv([{"a": 'x, "y"', "b": 0.1}, {"a": "ä", "c": 3}])
    assert list(csv.DictReader(io.StringIO(data.decode()))) == [
        {"a": 'x, "y"', "b": "0.1", "c": ""},
        {"a": "ä", "b": "", "c": "3"},
    ]
