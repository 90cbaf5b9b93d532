"""Trains layers in processes of their own, to see how long that takes and how much memory.

Memory can only be told for a process that does nothing else: what another layer took before
stays with the process, and a highest value is never forgotten.
"""

import ctypes
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from training.subnets.rows import SubnetRows
from training.subnets.settings import SubnetSettings
from training.subnets.training import Trainer

WARM_UP_BATCHES = 2
"""Not timed: the first ones make Adam's moments and the buffers of the libraries."""
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""Names of glibc's for `mallopt`."""
LARGE_BYTES = 1_000_000
MOST_BYTES = 2**31 - 1
BARRIER_TIMEOUT_S = 120.0
"""For the slowest process to start."""

_barrier: Any = None


@dataclass(frozen=True)
class Run:
    """What one process came to."""

    seconds: tuple[float, ...]
    """Of the part of an epoch that was run, for each layer in turn; processor time, which on one
    thread is what passes while nothing else is running."""
    fractions: tuple[float, ...]
    """Batches run of those of an epoch, in (0, 1], for each layer in turn."""
    peak_mb: float
    """Highest resident memory in MB of 10^6 bytes, above that of a process which has trained a
    tiny layer: rows, layer, gradient, Adam's moments, and what a batch needs."""


def save_rows(rows: SubnetRows, folder: Path) -> None:
    """Write rows where a process can take them from."""
    folder.mkdir()
    for name, array in vars(rows).items():
        np.save(folder / f"{name}.npy", array)


def run_together(
    groups: Sequence[Sequence[Path]],
    settings: SubnetSettings,
    *,
    seed: int,
    first: int | None = None,
    give_back: bool = False,
) -> list[Run]:
    """Run one epoch of every layer, each group in a process of its own, all at the same time.

    A process begins when all are ready, works on one thread and on the CPU, and has the rows of
    one layer at a time.

    Args:
        groups: of folders that `save_rows` wrote.
        settings: of the training.
        seed: of all layers.
        first: stop after so many batches of each; None for whole epochs.
        give_back: have freed memory given back at once, so that the peak is what is needed. All
            of it is kept for later else: the allocator would map buffers above 32 MB anew in each
            batch, and a flat layer alone would pay for that.

    Returns:
        What each group came to, in order.
    """
    context = get_context("spawn")
    with ProcessPoolExecutor(
        len(groups),
        mp_context=context,
        initializer=_set_barrier,
        initargs=(context.Barrier(len(groups)),),
    ) as pool:
        tasks = [pool.submit(_run, folders, settings, seed, first, give_back) for folders in groups]
        return [task.result() for task in tasks]


def _set_barrier(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def _run(
    folders: Sequence[Path],
    settings: SubnetSettings,
    seed: int,
    first: int | None,
    give_back: bool,
) -> Run:
    libc = ctypes.CDLL(None)
    if give_back:
        # A threshold that was set no longer adapts itself: larger blocks are never kept.
        libc.mallopt(MMAP_THRESHOLD, LARGE_BYTES)
    else:
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, MOST_BYTES)
    torch.set_num_threads(1)
    Trainer(_tiny_rows(), settings, seed=seed).epoch()
    before = _resident_mb("VmRSS")
    _barrier.wait(BARRIER_TIMEOUT_S)
    seconds, fractions = [], []
    for folder in folders:
        trainer = Trainer(_load_rows(folder), settings, seed=seed)
        trainer.epoch(first=WARM_UP_BATCHES)
        started = time.process_time()
        trainer.epoch(first=first)
        seconds.append(time.process_time() - started)
        fractions.append(min(1.0, (first or trainer.batches) / trainer.batches))
        # Or two layers and their rows would be there at the same time.
        del trainer
    return Run(tuple(seconds), tuple(fractions), _resident_mb("VmHWM") - before)


def _load_rows(folder: Path) -> SubnetRows:
    return SubnetRows(
        **{field.name: np.load(folder / f"{field.name}.npy") for field in fields(SubnetRows)}
    )


def _tiny_rows() -> SubnetRows:
    unit = np.eye(4, dtype=np.float32)
    labels = np.arange(4)
    return SubnetRows(unit, labels, unit, labels, unit)


def _resident_mb(name: str) -> float:
    """VmRSS is what is resident now, VmHWM the most that ever was."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kilobytes) * 1024 / 1e6
