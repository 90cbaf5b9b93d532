import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.fusion import Fusion
from tests.training.evaluation.galleries import KINDS, nets_over, photographed
from training.clusters.placement import Placement
from training.evaluation.contenders import Workshop
from training.evaluation.strangers import (
    CALIBRATED_FPIR,
    FEWEST_OVER,
    FPIRS,
    MOST_PICTURES,
    OpenSet,
    calibrated_threshold,
    open_record,
    open_searches,
    open_set,
)
from training.searching.search import Enrolled, Nets
from training.settings import TrainingSettings, Workers
from training.split import Split
from training.stores.format import Kind
from training.subnets.settings import SubnetSettings

pytestmark = pytest.mark.torch

SUBJECTS = 160
LEFT_OUT = [f"subject {label:03}" for label in range(0, SUBJECTS, 10)]


class Untrained(Workshop):
    """Nets are made up at once: who is searched for does not hang on them."""

    def ours(self, placement: Placement, name: str) -> tuple[Nets, tuple[()]]:
        return nets_over(self.folder / name, placement, self.enrolled.class_means), ()


def workshop_of(folder: Path, pictures: list[int]) -> Workshop:
    store = photographed(folder / "store", pictures)
    split = Split.of(store, seed=2)
    return Untrained(
        store=store,
        split=split,
        enrolled=Enrolled.of(store, split.training),
        settings=TrainingSettings(seed=2, target_size=30, subnets=SubnetSettings(device="cpu")),
        workers=Workers(jobs=1),
        folder=folder / "nets",
    )


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return workshop_of(tmp_path_factory.mktemp("open"), [5, 12] * (SUBJECTS // 2))


@pytest.fixture(scope="module")
def found(workshop: Workshop) -> OpenSet:
    opened = open_set(workshop, 30, LEFT_OUT)
    assert opened is not None
    return opened


def labels_of(workshop: Workshop, opened: OpenSet, side: str) -> set[int]:
    """Labels of the subjects whose templates are searched for; templates are never alike."""
    rows = {
        row.tobytes(): label
        for row, label in zip(
            workshop.store.vectors.astype(np.float32), workshop.store.labels.tolist(), strict=True
        )
    }
    sets = getattr(opened, side)
    return {rows[template.tobytes()] for probes in sets.values() for template in probes.templates}


def test_nobody_is_on_both_sides_and_who_is_left_out_on_neither(
    workshop: Workshop, found: OpenSet
) -> None:
    enrolled = set(found.enrolled.classes.tolist())
    mated = labels_of(workshop, found, "mated")
    strangers = labels_of(workshop, found, "strangers")
    left_out = {int(subject[-3:]) for subject in LEFT_OUT}
    assert mated == enrolled
    assert not enrolled & strangers
    assert not left_out & (enrolled | strangers)
    assert len(enrolled | strangers | left_out) == SUBJECTS
    assert 0.1 < len(strangers) / SUBJECTS < 0.3
    assert found.calibration["tails"]["clean"]["comparisons"] == len(enrolled) - 1
    assert found.stranger_count == len(strangers)


def test_without_left_out_the_others_stay_where_they_are(
    workshop: Workshop, found: OpenSet, tmp_path: Path
) -> None:
    moved = Untrained(**vars(workshop) | {"folder": tmp_path})
    everybody = open_set(moved, 30, ())
    assert everybody is not None
    assert set(found.enrolled.classes) < set(everybody.enrolled.classes)
    # Some of those who are left out would be strangers.
    assert labels_of(workshop, found, "strangers") < labels_of(workshop, everybody, "strangers")


def test_probes_are_unseen_and_no_strangers_face_outweighs_the_others(
    workshop: Workshop, found: OpenSet
) -> None:
    store, split = workshop.store, workshop.split
    tested = {row.tobytes() for row in store.vectors[split.test].astype(np.float32)}
    for probes in found.mated.values():
        assert (probes.true >= 0).all()
        assert all(template.tobytes() in tested for template in probes.templates)
    assert list(found.strangers) == ["clean", "24 px", "half covered"]
    count = len(labels_of(workshop, found, "strangers"))
    for probes in found.strangers.values():
        assert (probes.true == -1).all()
        # Each has five pictures or more.
        assert len(probes) == MOST_PICTURES * count
    # The degraded copies are what is trained on: nobody is searched for with one.
    trained_on = store.vectors[store.kinds == Kind.DEGRADED].astype(np.float32)
    copies = {row.tobytes() for row in trained_on}
    searched = [*found.mated.values(), *found.strangers.values()]
    assert len(KINDS) == len(found.strangers) + 1
    assert not any(row.tobytes() in copies for probes in searched for row in probes.templates)


def test_figures_agree_with_counting_one_search_at_a_time(found: OpenSet) -> None:
    fusion = Fusion.of_json(found.calibration["fusion"])
    ones = list(open_searches(found))
    assert len(ones) == 9
    for one in ones:
        mated, strangers = found.mated[one.probes], found.strangers[one.probes]
        if one.scenario == "knn":
            scores = [
                probes.templates @ found.enrolled.class_means.T for probes in (mated, strangers)
            ]
        elif one.scenario == "nearest sample":
            scores = [found.enrolled.best_sample_cosines(p.templates) for p in (mated, strangers)]
        else:
            assert (one.scenario, fusion.weights.shape) == ("fused", (2, 2, 3))
            continue
        best = sorted((max(row) for row in scores[1].tolist()), reverse=True)
        record = open_record(one, found.calibration)
        for fpir in FPIRS:
            allowed = int(fpir * len(best) + 1e-9)
            assert (f"fnir {fpir}" in record) == (allowed >= FEWEST_OVER)
            if allowed < FEWEST_OVER:
                continue
            # All above the first who may not pass.
            refused = best[allowed]
            missed = 0
            for row, true in zip(scores[0].tolist(), mated.true.tolist(), strict=True):
                missed += not (row[true] == max(row) and row[true] > refused)
            assert record[f"fnir {fpir}"] == pytest.approx(
                missed / len(mated), abs=1.5 / len(mated)
            )
        assert not any(name.startswith("observed") for name in record)


def test_the_calibrated_threshold_is_judged_by_the_strangers(found: OpenSet) -> None:
    threshold = calibrated_threshold(found.calibration)
    (one,) = (o for o in open_searches(found) if (o.probes, o.scenario) == ("clean", "fused"))
    record = open_record(one, found.calibration)
    passed = sum(score >= threshold for score in one.strangers.scores.tolist())
    assert record[f"observed_fpir {CALIBRATED_FPIR}"] == pytest.approx(
        passed / len(one.strangers.scores)
    )
    # Strangers in a target of one in a hundred: some twice as many may come by chance.
    assert record[f"observed_fpir {CALIBRATED_FPIR}"] < 0.05
    first = (one.mated.best == one.true) & (one.mated.scores >= threshold)
    assert record[f"observed_fnir {CALIBRATED_FPIR}"] == pytest.approx(1 - first.mean())
    json.dumps(record, allow_nan=False)


def test_the_calibrated_threshold_is_that_of_its_own_size() -> None:
    sizes = [{"times": times, "threshold": times / 10} for times in (0.5, 1.0, 2.0)]
    calibration: dict[str, Any] = {
        "thresholds": [
            {"fpir": 0.1, "by_gallery_size": []},
            {"fpir": 0.01, "by_gallery_size": sizes},
        ],
    }
    assert calibrated_threshold(calibration) == 0.1


@pytest.mark.parametrize("pictures", [[5] * 2, [1] * 60, [5] * 20])
def test_too_small_a_gallery_has_no_open_set(tmp_path: Path, pictures: list[int]) -> None:
    assert open_set(workshop_of(tmp_path, pictures), 30, ()) is None


def test_if_all_are_left_out_there_is_no_open_set(tmp_path: Path) -> None:
    workshop = workshop_of(tmp_path, [5] * 20)
    assert open_set(workshop, 30, workshop.store.subject_ids) is None


def test_kinds_without_strangers_are_not_searched(found: OpenSet) -> None:
    alone = OpenSet(
        found.enrolled,
        found.nets,
        found.calibration,
        found.mated,
        {"clean": found.strangers["clean"]},
        found.stranger_count,
    )
    searched: Iterator[Any] = open_searches(alone)
    assert {one.probes for one in searched} == {"clean"}
