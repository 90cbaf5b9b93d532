"""Run directories for tests."""

from pathlib import Path
from typing import Any

from tests.training.people import people
from training.run.folder import RunFolder, as_json
from training.run.job import Job
from training.run.run_settings import RunSettings
from training.settings import TrainingSettings, Workers
from training.subnets.settings import SubnetSettings

SETTINGS = RunSettings(
    TrainingSettings(target_size=6, subnets=SubnetSettings(epochs=2, batch_size=16, device="cpu")),
    repetitions=2,
)


def ignore(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""


def job_of(path: Path, *, settings: RunSettings = SETTINGS, count: int = 18) -> Job:
    """Work on a directory whose store, of so many people, was put there by hand."""
    folder = RunFolder(path)
    if not folder.store.exists():
        people(folder.store, count)
    return Job(folder, settings, Workers(jobs=1, backend="sequential"))


def put_results(job: Job, *, calibration: dict[str, Any], evaluation: dict[str, Any]) -> None:
    """Put documents where `calibrate` and `evaluate` would have written theirs."""
    job.folder.calibration.write_bytes(as_json(calibration))
    job.folder.evaluation.write_bytes(as_json(evaluation))
