"""Subnets on a real Dask cluster: two worker processes of this machine."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from tests.training.subnets.plans import dies_once, nets, three_subnets
from training.subnets.tasks import train_subnets

pytestmark = [
    pytest.mark.slow,
    pytest.mark.torch,
    pytest.mark.usefixtures("one_thread", "cluster"),
]


@pytest.fixture
def cluster() -> Iterator[None]:
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as workers,
        Client(workers),
    ):
        yield


def test_a_dask_cluster_gives_the_same_bytes_as_one_process(tmp_path: Path) -> None:
    plan = three_subnets(tmp_path)
    steps: list[tuple[int, int]] = []
    train_subnets(
        tmp_path / "many", plan, backend="dask", progress=lambda *step: steps.append(step)
    )
    train_subnets(tmp_path / "one", plan, jobs=1, backend="sequential")
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert nets(tmp_path / "many") == nets(tmp_path / "one")


def test_a_killed_worker_does_not_spoil_it(tmp_path: Path) -> None:
    plan = three_subnets(tmp_path)
    task = partial(dies_once, tmp_path / "log", plan.seed_of(1))
    train_subnets(tmp_path / "many", plan, backend="dask", task=task)
    assert (tmp_path / "died").exists()
    train_subnets(tmp_path / "one", plan, jobs=1, backend="sequential")
    assert nets(tmp_path / "many") == nets(tmp_path / "one")
