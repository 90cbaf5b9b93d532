import json
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import pytest

from tests.training.subnets.plans import three_subnets
from training.clusters.class_means import class_means
from training.clusters.cluster import split_at_random
from training.clusters.placement import by_mean
from training.timing.epochs import shared_out, time_epochs

pytestmark = [pytest.mark.torch]


@pytest.mark.slow
def test_times_of_a_plan(tmp_path: Path) -> None:
    plan = three_subnets(tmp_path)
    steps: list[str] = []
    times = time_epochs(plan, flat_batches=2, progress=steps.append)
    assert (times.classes, times.subnets, times.largest_subnet) == (
        18,
        3,
        plan.placement.sizes().max(),
    )
    # Three originals a person and their copies.
    assert (times.training_rows, times.rows_a_class, times.dimension) == (108, 6.0, 8)
    assert not times.synthetic
    assert times.flat_fraction == 2 / 7
    assert [shared.workers for shared in times.parallel] == [1, 2, 3]
    assert [shared.measured for shared in times.parallel] == [True, True, False]
    assert times.parallel[0].seconds == times.serial_seconds
    assert times.parallel[2].seconds < times.serial_seconds
    assert times.serial_speed_up == pytest.approx(times.flat_seconds / times.serial_seconds)
    assert times.memory_ratio == pytest.approx(times.flat_peak_mb / times.subnet_peak_mb)
    assert times.paper is None
    assert json.loads(json.dumps(asdict(times)))["batch_size"] == 16
    assert steps[0] == "writing rows"


@pytest.mark.slow
def test_one_cluster_is_its_own_flat_layer(tmp_path: Path) -> None:
    plan = three_subnets(tmp_path)
    means = class_means(plan.store, within=plan.training)
    whole = replace(plan, placement=by_mean(split_at_random(means, count=1)))
    times = time_epochs(whole)
    assert times.flat_fraction == 1
    assert [shared.workers for shared in times.parallel] == [1]
    assert times.largest_subnet == 18


def test_tasks_are_shared_out_nearly_as_well_as_can_be() -> None:
    seconds = [5.0, 1.0, 4.0, 3.0, 3.0, 2.0]
    for workers in (1, 2, 3, 6):
        groups = shared_out(seconds, workers)
        assert sorted(number for group in groups for number in group) == list(range(6))
        assert all(groups)
        found = max(sum(seconds[number] for number in group) for group in groups)
        best = min(
            max(
                sum(time for time, at in zip(seconds, places, strict=True) if at == worker)
                for worker in range(workers)
            )
            for places in product(range(workers), repeat=6)
        )
        # Longest first is never more than a third longer than the best.
        assert best <= found <= best * (4 / 3)
