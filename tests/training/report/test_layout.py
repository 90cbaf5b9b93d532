from typing import Any

import pytest

from training.report.layout import Better, Cell, shares_table, text_table
from training.report.names import NOTHING


@pytest.mark.parametrize(
    ("better", "best"),
    [
        pytest.param(max, [False, True, True], id="highest"),
        pytest.param(min, [True, False, False], id="lowest"),
        pytest.param(None, [False, False, False], id="neither"),
    ],
)
def test_the_best_of_a_column_is_marked_and_what_prints_alike_is_equal(
    better: Better | None, best: list[bool]
) -> None:
    rows: list[tuple[str, list[Any]]] = [
        ("a", [0.1]),
        ("b", [0.70001]),
        ("c", [{"mean": 0.70002, "sd": 0.0123}]),
    ]
    table = shares_table("Shares", ["Who", "Share"], rows, better=better, ours="c")
    assert [row.cells[0].best for row in table.rows] == best
    assert [row.cells[0].text for row in table.rows] == ["10.00", "70.00", "70.00"]
    assert [row.cells[0].spread for row in table.rows] == ["", "", "1.23"]
    assert [row.ours for row in table.rows] == [False, False, True]


def test_what_is_missing_is_never_the_best_nor_is_what_stands_alone() -> None:
    table = shares_table("Shares", ["Who", "x"], [("a", [None]), ("b", [0.5])], better=max)
    assert [row.cells[0].text for row in table.rows] == [NOTHING, "50.00"]
    assert not any(row.cells[0].best for row in table.rows)


def test_columns_of_words_are_told_from_those_of_numbers() -> None:
    rows = [["a", "yes", "1.5", "ArcFace"], ["b", "no", "none", "12"]]
    assert text_table("Settings", ["Name", "x", "y", "z"], rows).word_columns == {1}


def test_hashes_are_long_and_numbers_are_not() -> None:
    assert Cell("5f" * 32).is_long
    assert not Cell("1,234,567,890.12").is_long


def test_a_table_of_text_takes_the_rows_names_from_the_first_column() -> None:
    table = text_table("Text", ["What", "Value"], [["a", "1"], ["b", "2"]])
    assert [(row.name, [cell.text for cell in row.cells]) for row in table.rows] == [
        ("a", ["1"]),
        ("b", ["2"]),
    ]
