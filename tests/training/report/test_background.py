from dataclasses import fields

import pytest

from tests.training.report.made_up_evaluation import made_up_epochs, made_up_evaluation
from training.report.background import clusters, epoch_times, making
from training.report.layout import Plot, Section, Table
from training.timing.epochs import EpochTimes

pytestmark = pytest.mark.torch


def tables_of(section: Section) -> list[Table]:
    return [block for group in section.groups for block in group.blocks if isinstance(block, Table)]


def cells_of(table: Table) -> list[list[str]]:
    return [[row.name, *(cell.text for cell in row.cells)] for row in table.rows]


def test_clusters_are_summed_up_and_drawn() -> None:
    section = clusters(made_up_evaluation())
    sizes, placement, _ = tables_of(section)
    assert cells_of(sizes) == [["12", "298", "479.1", "720"], ["3", "1,800", "1,916.3", "2,100"]]
    assert cells_of(placement)[2] == ["Where any of its samples is", "100.00", "1.31"]
    assert sum(isinstance(block, Plot) for group in section.groups for block in group.blocks) == 3


def test_epoch_times_tell_what_was_measured_and_what_was_scaled() -> None:
    assert {field.name for field in fields(EpochTimes)} == set(made_up_epochs())
    section = epoch_times(made_up_epochs())
    times, _ = tables_of(section)
    assert [row[-1] for row in cells_of(times)] == [
        "scaled up from 5.0 % of an epoch",
        "measured",
        "measured",
        "calculated from each subnet's own seconds",
    ]
    assert [row[1:3] for row in cells_of(times)] == [
        ["5,412.25", "1.0"], ["301.75", "17.9"], ["152.50", "35.5"], ["12.75", "424.5"],
    ]  # fmt: skip
    assert [row[4] for row in cells_of(times)][::3] == ["1,647", "3.6"]
    assert section.text[0] == "Timed on synthetic vectors."


def test_epoch_times_may_have_no_match_in_the_paper() -> None:
    times, _ = tables_of(epoch_times(made_up_epochs() | {"paper": None, "flat_fraction": 1.0}))
    assert {row[4] for row in cells_of(times)} == {"\N{EN DASH}"}
    assert cells_of(times)[0][-1] == "measured"


def test_the_making_names_settings_counts_and_what_was_skipped() -> None:
    made, counts, settings, skipped = tables_of(making(made_up_evaluation()))
    assert ["Seed", "7"] in cells_of(made)
    assert ["Classes", "5,749"] in cells_of(counts)
    assert ["Early stop", "yes"] in cells_of(settings)
    assert ["No face", "41"] in cells_of(skipped)
    assert len(tables_of(making(made_up_evaluation() | {"skipped": {}}))) == 3
