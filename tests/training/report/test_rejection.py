import pytest

from tests.training.report.made_up_evaluation import made_up_evaluation
from training.report.layout import Section, Table
from training.report.rejection import decision, open_set

pytestmark = pytest.mark.torch


def tables_of(section: Section) -> list[Table]:
    return [block for group in section.groups for block in group.blocks if isinstance(block, Table)]


def test_the_lowest_fnir_is_the_best() -> None:
    clean, _ = tables_of(open_set(made_up_evaluation()))
    assert [column.replace("\N{NO-BREAK SPACE}", " ") for column in clean.columns] == [
        "Scenario", "at 10 %", "at 1 %", "at 0.1 %", "FPIR seen, set for 1 %",
    ]  # fmt: skip
    assert [row.name for row in clean.rows if row.cells[1].best] == ["Nearest class mean (KNN)"]
    assert [(row.cells[-1].text, row.cells[-1].spread) for row in clean.rows] == [
        ("1.15", "0.08")
    ] * 4
    assert clean.note


def test_rates_need_not_have_been_observed() -> None:
    evaluation = made_up_evaluation()
    for record in evaluation["open_set"]:
        del record["observed_fpir"]
    tables = tables_of(open_set(evaluation))
    assert {(len(table.columns), len(table.rows[0].cells), table.note) for table in tables} == {
        (4, 3, "")
    }


def test_curves_alone_make_the_section() -> None:
    section = open_set({"det": made_up_evaluation()["det"]})
    assert [group.title for group in section.groups] == ["DET curves"]


def test_the_decision_shows_what_calibration_found() -> None:
    weights, searched, thresholds, reliability = tables_of(decision(made_up_evaluation()))
    assert [cell.text for cell in weights.rows[1].cells] == ["0.28", "0.41", "0.314"]
    assert [row.name for row in searched.rows] == ["clean", "degraded"]
    assert [row.name for row in thresholds.rows] == ["1,000", "5,749", "20,000", "100,000"]
    assert [cell.text for cell in reliability.rows[-1].cells] == ["98.10", "1,533"]


def test_a_decision_may_have_weights_alone() -> None:
    weights = made_up_evaluation()["calibration"]["weights"]
    assert len(tables_of(decision({"calibration": {"weights": weights}}))) == 1
