"""The paper's Table 3: an epoch of one layer over all classes, against one of all subnets."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.subnets.rows import SubnetRows
from training.subnets.tasks import SubnetPlan
from training.timing.fresh_process import run_together, save_rows
from training.timing.machine import machine
from training.timing.paper import PaperEpoch, paper_epoch

MEASURED_WORKERS = (1, 2)
"""More than there are cores would only measure that they wait for each other."""

MEMORY_BATCHES = 5
"""All batches need the same, but for the last and smallest."""


@dataclass(frozen=True)
class Workers:
    """An epoch of all subnets, shared among some processes or machines."""

    workers: int
    seconds: float
    """Until the last of them has finished; handing out the rows, which is done once, not included.
    """
    speed_up: float
    """Over the flat layer."""
    measured: bool
    """Or calculated from each subnet's seconds alone; the longest subnet, if each has its own."""


@dataclass(frozen=True)
class EpochTimes:
    """Everything on one thread a process and on the CPU, so that like is compared with like.

    Seconds are of processor time, so that other work on the machine counts little.
    """

    synthetic: bool
    """Whether the templates were drawn rather than made from pictures."""
    classes: int
    subnets: int
    largest_subnet: int
    """In classes."""
    training_rows: int
    rows_a_class: float
    dimension: int
    batch_size: int
    head: str
    flat_seconds: float
    flat_fraction: float
    """Of the flat layer's epoch that was run; if below 1, `flat_seconds` is scaled up from it."""
    serial_seconds: float
    """Of all subnets, one after the other."""
    serial_speed_up: float
    parallel: tuple[Workers, ...]
    flat_peak_mb: float
    """Needed by a process that holds all rows; in MB of 10^6 bytes (`Run.peak_mb`)."""
    subnet_peak_mb: float
    """Needed by a process that holds the rows of the largest subnet."""
    memory_ratio: float
    flat_resident_mb: float
    """As `flat_peak_mb`, with what the allocator keeps for later: so it is when training."""
    subnet_resident_mb: float
    machine: str
    paper: PaperEpoch | None
    """The paper's figures for the same number of classes and subnets."""


def time_epochs(
    plan: SubnetPlan,
    *,
    flat_batches: int | None = None,
    progress: Callable[[str], None] = lambda _step: None,
) -> EpochTimes:
    """Run an epoch of each kind, in fresh processes.

    The rows of all classes are written to the temporary folder twice, as float32.

    Args:
        plan: of the subnets; its device is not used.
        flat_batches: of the flat layer's epoch, how many are run, at least 1; the others are
            assumed to take as long. None for all of them.
        progress: called with what is about to be done.

    Raises:
        ValueError: rows can't be trained on (`SubnetRows.of`).
        OSError: the rows can't be written.
    """
    settings = replace(plan.settings, device="cpu")
    count = plan.placement.cluster_count
    sizes = plan.placement.sizes()
    with tempfile.TemporaryDirectory() as folder:
        progress("writing rows")
        flat, subnets = Path(folder, "flat"), [Path(folder, str(n)) for n in range(count)]
        for number, path in enumerate(subnets):
            save_rows(plan.rows(number), path)
        classes = np.unique(plan.placement.classes)
        rows = SubnetRows.of(
            plan.store, classes, training=plan.training, validation=plan.validation
        )
        save_rows(rows, flat)
        training_rows = len(rows.labels)
        del rows
        progress("an epoch of one layer")
        (whole,) = run_together([[flat]], settings, seed=plan.seed, first=flat_batches)
        flat_seconds = whole.seconds[0] / whole.fractions[0]
        progress("an epoch of the subnets, one after the other")
        (serial,) = run_together([subnets], settings, seed=plan.seed)
        together = {1: sum(serial.seconds)}
        for workers in MEASURED_WORKERS[1:count]:
            progress(f"an epoch of the subnets, {workers} at a time")
            groups = shared_out(serial.seconds, workers)
            paths = [[subnets[number] for number in group] for group in groups]
            runs = run_together(paths, settings, seed=plan.seed)
            together[workers] = max(sum(run.seconds) for run in runs)
        progress("memory of one layer and of the largest subnet")
        biggest = subnets[sizes.argmax()]
        (resident,) = run_together([[biggest]], settings, seed=plan.seed)
        (flat_alone,), (subnet_alone,) = (
            run_together([[path]], settings, seed=plan.seed, first=MEMORY_BATCHES, give_back=True)
            for path in (flat, biggest)
        )
    return EpochTimes(
        synthetic=plan.store.manifest.synthetic,
        classes=len(classes),
        subnets=count,
        largest_subnet=int(sizes.max()),
        training_rows=training_rows,
        rows_a_class=training_rows / len(classes),
        dimension=plan.store.dimension,
        batch_size=settings.batch_size,
        head=settings.head,
        flat_seconds=flat_seconds,
        flat_fraction=whole.fractions[0],
        serial_seconds=together[1],
        serial_speed_up=flat_seconds / together[1],
        parallel=_in_parallel(serial.seconds, together, flat_seconds),
        flat_peak_mb=flat_alone.peak_mb,
        subnet_peak_mb=subnet_alone.peak_mb,
        memory_ratio=flat_alone.peak_mb / subnet_alone.peak_mb,
        flat_resident_mb=whole.peak_mb,
        subnet_resident_mb=resident.peak_mb,
        machine=machine(),
        paper=paper_epoch(len(classes), count),
    )


def _in_parallel(
    serial: Sequence[float], measured: Mapping[int, float], flat_seconds: float
) -> tuple[Workers, ...]:
    """Of each count of workers that was measured, of powers of two, and of one a subnet.

    Args:
        serial: seconds of each subnet by itself.
        measured: seconds by count of workers.
        flat_seconds: that speed-ups refer to.
    """
    seconds = dict(measured)
    powers = [2**n for n in range(len(serial).bit_length()) if 2**n < len(serial)]
    for workers in (*powers, len(serial)):
        groups = shared_out(serial, workers)
        longest = max(sum(serial[number] for number in group) for group in groups)
        seconds.setdefault(workers, longest)
    return tuple(
        Workers(workers, seconds[workers], flat_seconds / seconds[workers], workers in measured)
        for workers in sorted(seconds)
    )


def shared_out(seconds: Sequence[float], workers: int) -> list[list[int]]:
    """Share tasks out, the longest first, each to the worker with least to do.

    Args:
        seconds: of each task.
        workers: in [1, the number of tasks].

    Returns:
        The tasks' numbers for each worker.
    """
    groups: list[list[int]] = [[] for _ in range(workers)]
    loads = [0.0] * workers
    for number in sorted(range(len(seconds)), key=lambda task: -seconds[task]):
        least = loads.index(min(loads))
        groups[least].append(number)
        loads[least] += seconds[number]
    return groups
