"""All subnets of a placement, as tasks that need nothing from each other.

The workers get rows and give back a net, so that they may be processes here or machines
elsewhere that share no disk with this one; only the caller writes.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from numpy.typing import NDArray

from training.clusters.placement import Placement
from training.embedding.negatives import Negatives
from training.stores.store import EmbeddingStore
from training.subnets.export import export_subnet
from training.subnets.files import SubnetDone, SubnetRecord, finished_subnet, write_subnet
from training.subnets.rows import SubnetRows
from training.subnets.settings import SubnetSettings
from training.subnets.training import train_subnet

ATTEMPTS = 3
"""Times in a row that workers may die without any subnet being finished between."""


class SubnetsFailed(RuntimeError):
    """Workers died again and again; the message names the subnets that are missing."""


class _WorkerDied(RuntimeError):
    """A worker, or what runs the workers, is gone, or a task failed for want of something."""


Task = Callable[[SubnetRows, SubnetSettings, int], SubnetDone]
"""From rows, settings and seed; runs in a worker, so it must be picklable."""


@dataclass(frozen=True, eq=False)
class SubnetPlan:
    """Which subnets are to be trained, on what and how."""

    store: EmbeddingStore
    placement: Placement
    training: NDArray[np.bool_]
    """(n,) rows of the store that may be trained on."""
    validation: NDArray[np.bool_]
    """(n,) originals and degraded copies that decide when a subnet stops; no copy of their pictures
    is trained on."""
    settings: SubnetSettings
    seed: int
    """At least 0."""
    negatives: Negatives | None = None
    """Hard negatives of any subjects of the store."""

    def rows(self, number: int) -> SubnetRows:
        """The rows of one subnet.

        Raises:
            ValueError: they can't be trained on (`SubnetRows.of`); the message names the subnet.
        """
        classes = self.placement.classes_in(number)
        try:
            return SubnetRows.of(
                self.store,
                classes,
                training=self.training,
                validation=self.validation,
                negatives=self.negatives,
            )
        except ValueError as error:
            raise ValueError(f"subnet {number}: {error}") from error

    def seed_of(self, number: int) -> int:
        """A seed of its own for each subnet."""
        return int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])

    def digest(self, number: int) -> str:
        """SHA-256 of all that decides one subnet."""
        digest = hashlib.sha256()
        how = {"settings": asdict(self.settings), "seed": self.seed_of(number)}
        digest.update(json.dumps(how, sort_keys=True).encode())
        for name, array in vars(self.rows(number)).items():
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def train_and_export(rows: SubnetRows, settings: SubnetSettings, seed: int) -> SubnetDone:
    """Make one subnet on one thread: processes are what there are many of.

    It also makes the result independent of how many processors there are.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trained = train_subnet(rows, settings, seed=seed)
    finally:
        torch.set_num_threads(threads)
    net = export_subnet(trained.weight)
    return SubnetDone(net, trained.epochs, trained.best, trained.device)


def train_subnets(
    folder: Path,
    plan: SubnetPlan,
    *,
    numbers: Sequence[int] | None = None,
    jobs: int = -1,
    backend: str = "loky",
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    task: Task = train_and_export,
) -> tuple[SubnetRecord, ...]:
    """Train every subnet that is not there yet.

    Args:
        folder: for nets and records, made if need be; what is finished there is taken over.
        plan: what to train.
        numbers: which of its subnets, ascending; all if None.
        jobs: subnets at a time; -1 for as many as there are processors or workers.
        backend: of joblib. `loky` is processes on this machine; one of a cluster, such as
            `dask`, is to be connected before, and must give results as they arrive.
        progress: called with the number of subnets finished and that of all: once at the
            beginning, and after each.
        task: what a worker does.

    Returns:
        A record for each subnet that was asked for, in order.

    Raises:
        ValueError: rows can't be trained on. What was finished stays, here as below.
        OSError: a file can't be written.
        SubnetsFailed: workers died `ATTEMPTS` times in a row without finishing anything.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if numbers is None:
        numbers = range(plan.placement.cluster_count)
    digests = {number: plan.digest(number) for number in numbers}
    records = {
        number: record
        for number, digest in digests.items()
        if (record := finished_subnet(folder, number, digest))
    }
    progress(len(records), len(digests))
    deaths = 0
    while missing := [number for number in numbers if number not in records]:
        try:
            for number, done in _run(plan, missing, jobs=jobs, backend=backend, task=task):
                records[number] = write_subnet(folder, number, digests[number], done)
                deaths = 0
                progress(len(records), len(digests))
        except _WorkerDied as error:
            # Nothing says at which task: those whose results had not arrived are all done again.
            deaths += 1
            if deaths == ATTEMPTS:
                left = ", ".join(str(number) for number in missing if number not in records)
                raise SubnetsFailed(
                    f"subnets {left} failed {ATTEMPTS} times in a row: {error}"
                ) from error
    return tuple(records[number] for number in numbers)


def _run(
    plan: SubnetPlan, numbers: Sequence[int], *, jobs: int, backend: str, task: Task
) -> Iterator[tuple[int, SubnetDone]]:
    """Results as they arrive.

    Raises:
        ValueError: of a task or its rows; it would be raised again and again.
        _WorkerDied: anything else.
    """
    # One task a batch, so that a death costs no more than what was running; no memory maps,
    # which would be read-only in the worker and stay behind after a death.
    # Given to Parallel itself, the name of a cluster's backend would not be known.
    with joblib.parallel_config(backend=backend, n_jobs=jobs):
        parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, max_nbytes=None)
    # Rows are read only when a worker is soon to take them.
    calls: Iterator[Any] = (
        joblib.delayed(_numbered)(
            task, number, plan.rows(number), plan.settings, plan.seed_of(number)
        )
        for number in numbers
    )
    try:
        with closing(parallel(calls)) as results:
            yield from results
    except ValueError:
        raise
    except Exception as error:
        # Each backend has errors of its own for a worker that died.
        raise _WorkerDied(f"{type(error).__name__}: {error}") from error


def _numbered(
    task: Task, number: int, rows: SubnetRows, settings: SubnetSettings, seed: int
) -> tuple[int, SubnetDone]:
    return number, task(rows, settings, seed)
