from dataclasses import replace

import numpy as np
import pytest

from models.router import ClassMeanIndex
from tests.training.small_stores import unit_rows
from training import index_loss
from training.index_loss import IndexLossy, measure_loss, probes_at


@pytest.mark.parametrize("cosine", [-0.2, 0.0, 0.7, 1.0])
def test_probes_are_as_far_off_as_asked_for(cosine: float) -> None:
    rng = np.random.default_rng(0)
    means = unit_rows(rng, 200, 24)
    probes = probes_at(means, cosine, rng)
    assert probes.dtype == np.float32
    np.testing.assert_allclose((probes * means).sum(axis=1), cosine, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(probes, axis=1), 1, atol=1e-5)
    # In directions of their own.
    away = probes - cosine * means
    assert abs(away[0] @ away[1]) < 0.9 or cosine == 1


def test_good_codes_lose_nothing_and_poor_ones_are_refused() -> None:
    means = unit_rows(np.random.default_rng(0), 5_000, 64).astype(np.float16)
    index = ClassMeanIndex.build(means, kind="pq")
    assert measure_loss(index, seed=3) == 0
    rolled = ClassMeanIndex.build(np.roll(means, 1, axis=0), kind="pq")
    poor = replace(index, index=rolled.index, candidates=1)
    with pytest.raises(IndexLossy, match=r"over 5,000 class means finds 100\.00% fewer"):
        measure_loss(poor, seed=3)


def test_the_limit_is_a_tenth_of_a_point(monkeypatch: pytest.MonkeyPatch) -> None:
    means = unit_rows(np.random.default_rng(0), 700, 16)
    index = ClassMeanIndex.build(means, kind="pq")
    for loss, refused in ((-0.01, False), (0.001, False), (0.002, True)):
        monkeypatch.setattr(index_loss, "rank1_loss", lambda *_, loss=loss: loss)
        if refused:
            with pytest.raises(IndexLossy):
                measure_loss(index, seed=0)
        else:
            assert measure_loss(index, seed=0) == loss


def test_an_exact_scan_loses_nothing() -> None:
    means = np.zeros((3, 8), np.float32)
    assert measure_loss(ClassMeanIndex.build(means), seed=0) == 0
