import os

from training.timing.machine import machine


def test_a_machine_is_named_with_its_cores() -> None:
    assert machine().endswith(f", {len(os.sched_getaffinity(0))} cores")
    assert not machine().startswith(",")
