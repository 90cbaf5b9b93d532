import pytest
import typer

from training.cli.options import connected_workers
from training.settings import Workers


def test_processes_need_no_connection() -> None:
    with connected_workers(3, "loky", None) as workers:
        assert workers == Workers(3, "loky")


@pytest.mark.parametrize(
    ("jobs", "backend", "scheduler"), [(0, "loky", None), (1, "dask", None), (1, "loky", "tcp://a")]
)
def test_what_does_not_go_together_is_wrong_usage(
    jobs: int, backend: str, scheduler: str | None
) -> None:
    with pytest.raises(typer.BadParameter), connected_workers(jobs, backend, scheduler):
        pass


@pytest.mark.torch
@pytest.mark.slow
def test_a_cluster_is_connected_while_it_is_worked_on() -> None:
    import distributed

    with (
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        connected_workers(-1, "dask", cluster.scheduler_address) as workers,
    ):
        assert workers == Workers(-1, "dask")
        assert distributed.get_client().scheduler_info()["workers"]
