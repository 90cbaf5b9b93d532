import pytest

from tests.training.report.made_up_evaluation import PROBES, SCENARIOS, made_up_evaluation
from training.report.layout import Section, Table
from training.report.names import percent, scenario_name
from training.report.recognition import cluster_finding, growth_curves, identification, losses

pytestmark = pytest.mark.torch


def tables_of(section: Section) -> dict[str, Table]:
    return {
        block.caption: block
        for group in section.groups
        for block in group.blocks
        if isinstance(block, Table)
    }


def test_identification_has_all_scenarios_on_all_kinds_of_probes() -> None:
    evaluation = made_up_evaluation()
    tables = tables_of(identification(evaluation))
    assert len(tables) == 2 * (2 + len(PROBES))
    for record in evaluation["identification"]:
        table = tables[f"{record['clusters']} clusters, probes: {record['probes']}, %"]
        (row,) = [r for r in table.rows if r.name == scenario_name(record["scenario"])]
        for cell, metric in zip(row.cells, ("precision", "recall", "f1", "rank1"), strict=True):
            assert cell.text == percent(record[metric]["mean"])
            assert cell.spread == percent(record[metric]["sd"])
    overview = tables["12 clusters: macro recall by kind of probes, %"]
    assert [row.name for row in overview.rows] == [scenario_name(name) for name in SCENARIOS]
    assert [row.ours for row in overview.rows].count(True) == 1


def test_the_paired_test_of_ours_stands_beside() -> None:
    tables = tables_of(identification(made_up_evaluation()))
    table = tables["12 clusters: macro recall of ours, difference in points"]
    assert table.columns == [
        "Probes", "to Nearest class mean (KNN)", "p", "to Nearest sample", "p",
    ]  # fmt: skip
    assert [cell.text for cell in table.rows[1].cells] == ["+4.89", "< 0.001", "+5.09", "< 0.001"]
    untested = made_up_evaluation() | {"paired": []}
    assert len(tables_of(identification(untested))) == 2 * (1 + len(PROBES))


def test_cluster_finding_has_a_row_a_way_and_a_column_a_kind() -> None:
    tables = tables_of(cluster_finding(made_up_evaluation()))
    table = tables["12 clusters: share of probes whose cluster is found, %"]
    assert list(table.columns[1:]) == ["train", *PROBES]
    assert [row.name for row in table.rows][-1] == "clustered: nearest class mean"
    assert all(cell.best for cell in table.rows[-1].cells)


def test_growth_has_a_table_a_measure() -> None:
    tables = tables_of(growth_curves(made_up_evaluation()))
    assert list(tables) == ["Recall (accuracy), clean, %", "Precision, clean, %", "F1, clean, %"]
    assert list(tables["F1, clean, %"].columns)[1:] == ["500", "1,000", "2,000", "4,000", "5,749"]


def test_losses_have_their_epochs() -> None:
    (table,) = tables_of(losses(made_up_evaluation())).values()
    assert [row.cells[-1].text for row in table.rows] == [
        "6.4", "7.4", "8.4", "9.4", "10.4", "11.4", "12.4",
    ]  # fmt: skip
