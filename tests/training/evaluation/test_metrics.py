import numpy as np
import pytest

from training.evaluation.metrics import identification, spread


def test_it_agrees_with_counting_class_by_class() -> None:
    rng = np.random.default_rng(0)
    true = rng.choice(np.array([0, 2, 3, 7], np.int32), 200, p=[0.7, 0.1, 0.1, 0.1])
    guesses = rng.integers(0, 9, 200).astype(np.int32)
    predicted = np.where(rng.random(200) < 0.6, true, guesses)
    precisions, recalls, f1s = [], [], []
    for tested in (0, 2, 3, 7):
        hits = sum(1 for p, t in zip(predicted, true, strict=True) if p == t == tested)
        named = sum(1 for p in predicted if p == tested)
        own = sum(1 for t in true if t == tested)
        precisions.append(hits / named)
        recalls.append(hits / own)
        f1s.append(2 * hits / (named + own))
    found = identification(predicted, true)
    assert found.precision == pytest.approx(np.mean(precisions))
    assert found.recall == pytest.approx(np.mean(recalls))
    assert found.f1 == pytest.approx(np.mean(f1s))
    assert found.rank1 == pytest.approx(np.mean(predicted == true))


def test_a_class_that_is_never_named_counts_as_nothing_found() -> None:
    true = np.array([1, 1, 2], np.int32)
    found = identification(np.array([1, 1, 9], np.int32), true)
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)
    assert found.rank1 == pytest.approx(2 / 3)


def test_one_value_has_no_deviation() -> None:
    assert spread([0.5]) == {"mean": 0.5, "sd": None, "values": [0.5]}
    assert spread([1.0, 3.0])["sd"] == pytest.approx(2**0.5)
