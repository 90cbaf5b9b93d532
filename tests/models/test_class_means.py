from itertools import pairwise

import numpy as np
import pytest

from models import class_means as module
from models.arrays import Floats
from models.class_means import class_means, unit_means
from tests.models.slow_means import one_at_a_time
from tests.training.small_stores import unit_rows

DIMENSION = 16


def around(rng: np.random.Generator, centre: Floats, count: int, cosine: float) -> Floats:
    """(count, d) unit rows at this cosine to a unit vector, in random directions."""
    away = unit_rows(rng, count, len(centre))
    away -= (away @ centre)[:, None] * centre
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return np.asarray(cosine * centre + np.sqrt(1 - cosine**2) * away, np.float32)


def mixed(rng: np.random.Generator) -> tuple[Floats, list[int]]:
    """Subjects of 1 to 9 samples, some of them with wrong ones among them, or nothing else."""
    parts, offsets = [], [0]
    for subject in range(60):
        centre = unit_rows(rng, 1, DIMENSION)[0]
        own = around(rng, centre, 1 + subject % 9, rng.uniform(0.3, 0.95))
        own[: subject % 4 if len(own) > 2 else 0] = unit_rows(rng, 1, DIMENSION)
        parts.append(rng.permutation(own))
        offsets.append(offsets[-1] + len(own))
    return np.concatenate(parts), offsets


def test_it_agrees_with_the_formula() -> None:
    samples, offsets = mixed(np.random.default_rng(0))
    means = class_means(samples, np.array(offsets))
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, one_at_a_time(samples, offsets), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(means, axis=1), 1, atol=1e-6)


def test_neither_neighbours_nor_the_size_of_a_block_change_a_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples, offsets = mixed(np.random.default_rng(1))
    expected = class_means(samples, np.array(offsets))
    alone = [
        class_means(samples[start:stop], np.array([0, stop - start]))[0]
        for start, stop in pairwise(offsets)
    ]
    np.testing.assert_array_equal(alone, expected)
    for size in (1, 7):
        monkeypatch.setattr(module, "BLOCK_SUBJECTS", size)
        np.testing.assert_array_equal(class_means(samples, np.array(offsets)), expected)


@pytest.mark.parametrize("count", [3, 4, 5])
@pytest.mark.parametrize("seed", range(5))
def test_a_wrong_sample_hardly_moves_the_mean(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    right = around(rng, unit_rows(rng, 1, 192)[0], count - 1, 0.85)
    wrong = around(rng, unit_rows(rng, 1, 192)[0], 1, 0.85)
    ideal = class_means(right, np.array([0, count - 1]))[0]
    samples = np.concatenate([wrong, right])
    robust = class_means(samples, np.array([0, count]))[0]
    plain = unit_means(samples, np.array([0, count]))[0]
    assert robust @ ideal > 0.99
    assert robust @ ideal > plain @ ideal + 0.01


@pytest.mark.parametrize("count", [1, 2, 3, 4, 12])
def test_ordinary_subjects_have_the_plain_mean_to_the_bit(count: int) -> None:
    rng = np.random.default_rng(2)
    samples = around(rng, unit_rows(rng, 1, 192)[0], count, 0.8)
    plain = unit_means(samples, np.array([0, count]))
    total = samples.astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(plain[0], total / np.linalg.norm(total), atol=1e-6)
    np.testing.assert_array_equal(class_means(samples, np.array([0, count])), plain)


def test_of_two_samples_neither_is_the_odd_one() -> None:
    samples = np.eye(2, 8, dtype=np.float32)
    means = class_means(samples, np.array([0, 2]))
    np.testing.assert_allclose(means[0, :2], np.sqrt(0.5), atol=1e-6)


def test_what_cancels_out_is_zeros_rather_than_nan() -> None:
    row = unit_rows(np.random.default_rng(0), 1, 8)
    samples = np.concatenate([row, -row, row, -row, row, -row])
    means = class_means(samples, np.array([0, 2, 6]))
    np.testing.assert_array_equal(means, np.zeros((2, 8)))


def test_samples_that_have_nothing_in_common_count_alike() -> None:
    samples = np.eye(3, dtype=np.float32)
    means = class_means(samples, np.array([0, 3]))
    np.testing.assert_allclose(means[0], np.sqrt(1 / 3), atol=1e-6)


def test_there_may_be_nobody() -> None:
    means = class_means(np.empty((0, 5), np.float32), np.zeros(1, np.int64))
    assert means.shape == (0, 5)
    assert means.dtype == np.float32
