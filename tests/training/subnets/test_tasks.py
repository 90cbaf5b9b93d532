import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import onnxruntime as ort
import pytest

from tests.training.subnets.plans import dies_once, nets, noted, three_subnets
from training.subnets.files import SubnetDone
from training.subnets.rows import SubnetRows
from training.subnets.settings import SubnetSettings
from training.subnets.tasks import (
    ATTEMPTS,
    SubnetPlan,
    SubnetsFailed,
    train_and_export,
    train_subnets,
)

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def plan(tmp_path: Path) -> SubnetPlan:
    """Three subnets."""
    return three_subnets(tmp_path)


def always_dies(doomed: int, rows: SubnetRows, settings: SubnetSettings, seed: int) -> SubnetDone:
    """End the worker's process whenever it gets the doomed subnet."""
    if seed == doomed:
        os._exit(9)
    return train_and_export(rows, settings, seed)


def refuses(rows: SubnetRows, settings: SubnetSettings, seed: int) -> SubnetDone:
    raise ValueError("no such rows")


def test_every_cluster_gets_a_net_over_its_classes(plan: SubnetPlan, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    records = train_subnets(
        tmp_path / "nets", plan, jobs=2, progress=lambda *step: steps.append(step)
    )
    assert [record.number for record in records] == [0, 1, 2]
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    for record in records:
        session = ort.InferenceSession(tmp_path / "nets" / record.file)
        rows = plan.rows(record.number)
        (cosines,) = session.run(["cosines"], {"template": rows.validation_templates})
        assert cosines.shape[1] == plan.placement.sizes()[record.number]
        accuracy = (cosines.argmax(axis=1) == rows.validation_labels).mean()
        assert accuracy == pytest.approx(record.epochs[record.best].validation_accuracy)


def test_processes_and_one_after_the_other_give_the_same_bytes(
    plan: SubnetPlan, tmp_path: Path
) -> None:
    train_subnets(tmp_path / "many", plan, jobs=2)
    train_subnets(tmp_path / "one", plan, jobs=1, backend="sequential")
    assert nets(tmp_path / "many") == nets(tmp_path / "one")
    train_subnets(tmp_path / "other", replace(plan, seed=5), jobs=1)
    assert nets(tmp_path / "many").keys() == nets(tmp_path / "other").keys()
    assert nets(tmp_path / "many") != nets(tmp_path / "other")


def test_what_is_finished_is_not_done_again(plan: SubnetPlan, tmp_path: Path) -> None:
    log = tmp_path / "log"
    task = partial(noted, log)
    records = train_subnets(tmp_path / "nets", plan, jobs=1, task=task)
    before = nets(tmp_path / "nets")
    assert train_subnets(tmp_path / "nets", plan, jobs=1, task=task) == records
    assert len(log.read_text().split()) == 3
    (tmp_path / "nets" / records[1].file).unlink()
    train_subnets(tmp_path / "nets", plan, jobs=1, task=task)
    assert log.read_text().split()[3:] == [str(plan.seed_of(1))]
    assert nets(tmp_path / "nets") == before
    # Other settings are another work.
    train_subnets(
        tmp_path / "nets",
        replace(plan, settings=replace(plan.settings, epochs=2)),
        jobs=1,
        task=task,
    )
    assert len(log.read_text().split()) == 7


def test_some_subnets_alone_can_be_trained(plan: SubnetPlan, tmp_path: Path) -> None:
    train_subnets(tmp_path / "all", plan, jobs=1)
    told: list[tuple[int, int]] = []
    records = train_subnets(
        tmp_path / "some",
        plan,
        numbers=[0, 2],
        jobs=1,
        progress=lambda done, total: told.append((done, total)),
    )
    assert [record.number for record in records] == [0, 2]
    assert told == [(0, 2), (1, 2), (2, 2)]
    wanted = nets(tmp_path / "all")
    del wanted["subnet-000001.onnx"]
    assert nets(tmp_path / "some") == wanted


def test_a_task_whose_worker_dies_is_done_again(plan: SubnetPlan, tmp_path: Path) -> None:
    task = partial(dies_once, tmp_path / "log", plan.seed_of(1))
    train_subnets(tmp_path / "nets", plan, jobs=2, task=task)
    assert (tmp_path / "died").exists()
    train_subnets(tmp_path / "undisturbed", plan, jobs=1)
    assert nets(tmp_path / "nets") == nets(tmp_path / "undisturbed")


def test_a_worker_that_always_dies_ends_it_and_the_others_stay(
    plan: SubnetPlan, tmp_path: Path
) -> None:
    last = partial(always_dies, plan.seed_of(2))
    with pytest.raises(SubnetsFailed, match=rf"2 failed {ATTEMPTS} times in a row"):
        train_subnets(tmp_path / "nets", plan, jobs=2, task=last)
    kept = nets(tmp_path / "nets")
    assert "subnet-000002.onnx" not in kept
    log = tmp_path / "log"
    train_subnets(tmp_path / "nets", plan, jobs=1, task=partial(noted, log))
    assert len(log.read_text().split()) == 3 - len(kept)


def test_what_would_fail_again_is_not_repeated(plan: SubnetPlan, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such rows"):
        train_subnets(tmp_path / "nets", plan, jobs=1, task=refuses)


def test_a_failure_to_write_is_told_at_once(plan: SubnetPlan, tmp_path: Path) -> None:
    folder = tmp_path / "nets"

    def gone(done: int, _total: int) -> None:
        if done:
            shutil.rmtree(folder)

    with pytest.raises(FileNotFoundError):
        train_subnets(folder, plan, jobs=1, progress=gone)
