import json
from pathlib import Path

import pytest

from tests.training.evaluation.galleries import photographed
from training.evaluation.contenders import Workshop
from training.evaluation.repetition import Contest, repetition, steps_of
from training.heads import HEADS
from training.searching.search import Enrolled
from training.settings import TrainingSettings, Workers
from training.split import Split
from training.subnets.settings import SubnetSettings

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """Too few pictures are held out for an open set."""
    store = photographed(tmp_path / "store", [5] * 12 + [3] * 12)
    split = Split.of(store, seed=0)
    return Workshop(
        store=store,
        split=split,
        enrolled=Enrolled.of(store, split.training),
        settings=TrainingSettings(subnets=SubnetSettings(epochs=1, device="cpu")),
        workers=Workers(jobs=1),
        folder=tmp_path / "nets",
    )


@pytest.mark.parametrize("first", [False, True])
def test_a_small_gallery_has_all_tables_but_the_open_set(workshop: Workshop, first: bool) -> None:
    contest = Contest((12, 6), (), thorough=True)
    steps: list[None] = []
    found = repetition(workshop, contest, lambda: steps.append(None), first=first)
    assert len(steps) == steps_of(contest, first=first)
    assert (found["open_set"], found["strangers"]) == ([], {})
    assert {row["clusters"] for row in found["identification"]} == {2, 4}
    assert found["calibration"]["thresholds"] == []
    drawn = {"growth", "losses", "starts", "map", "distributions", "det"}
    assert drawn & set(found) == (drawn if first else set())
    assert found["counts"] == {
        "classes": 24,
        "tested_subjects": 12,
        # Three of five pictures and two of three, with a degraded copy each.
        "training_rows": 2 * (12 * 3 + 12 * 2),
        "validation_probes": 2 * 24,
        # Each picture that is tested is an original and two hard probes.
        "test_probes": 3 * 12,
    }
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_first_repetition_tells_more_steps() -> None:
    contest = Contest((5, 6, 7), (), thorough=True)
    assert steps_of(contest, first=False) == 5
    assert steps_of(contest, first=True) == 9 + len(HEADS)
