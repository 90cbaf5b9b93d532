from pathlib import Path

import numpy as np
import pytest

from tests.training.small_stores import unit_rows
from training.subnets.rows import SubnetRows
from training.subnets.settings import SubnetSettings
from training.timing.fresh_process import run_together, save_rows

pytestmark = [pytest.mark.torch, pytest.mark.slow]

SETTINGS = SubnetSettings(batch_size=32, device="cpu")


def some_rows(classes: int, *, dimension: int = 128, samples: int = 2) -> SubnetRows:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), samples)
    means = unit_rows(rng, classes, dimension)
    return SubnetRows(
        templates=means[labels],
        labels=labels,
        validation_templates=means,
        validation_labels=np.arange(classes),
        class_means=means,
    )


def test_memory_grows_with_the_layer_and_includes_what_training_needs(tmp_path: Path) -> None:
    peaks = []
    for classes in (500, 20_000):
        save_rows(some_rows(classes), tmp_path / str(classes))
        folders = [[tmp_path / str(classes)]]
        (run,) = run_together(folders, SETTINGS, seed=0, first=3, give_back=True)
        peaks.append(run.peak_mb)
    layer = 20_000 * 128 * 4 / 1e6
    # Rows (2), those to validate on, class means, weight, gradient, two moments; 32 cosines a
    # class, more than once.
    least = 8 * layer + 2 * 32 * 20_000 * 4 / 1e6
    assert least < peaks[1] < 2 * least
    assert peaks[0] < peaks[1] / 10


def test_each_layer_is_timed_and_its_memory_given_back(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        save_rows(some_rows(5_000), folder)
    several, one = run_together(
        [folders[:2], folders[2:]], SETTINGS, seed=0, first=5, give_back=True
    )
    assert (len(several.seconds), len(one.seconds)) == (2, 1)
    assert min(*several.seconds, *one.seconds) > 0
    batches = -(-10_000 // 32)
    assert several.fractions == (5 / batches,) * 2
    assert several.peak_mb < 1.3 * one.peak_mb


def test_more_batches_than_there_are_is_a_whole_epoch(tmp_path: Path) -> None:
    save_rows(some_rows(50), tmp_path / "rows")
    (run,) = run_together([[tmp_path / "rows"] * 2], SETTINGS, seed=0, first=1_000)
    assert run.fractions == (1.0, 1.0)
