import numpy as np
import pytest

from training.synthetic.angles import QUANTILES, angles_to_centres, log_angle_components


def test_angles_are_those_to_the_centres_that_are_not_known() -> None:
    rng = np.random.default_rng(2)
    centres = np.eye(200)[:40]
    angles = rng.uniform(0.2, 0.9, (40, 30))
    aside = rng.standard_normal((40, 30, 200))
    aside -= (aside * centres[:, None]).sum(axis=2, keepdims=True) * centres[:, None]
    aside /= np.linalg.norm(aside, axis=2, keepdims=True)
    vectors = np.cos(angles)[..., None] * centres[:, None] + np.sin(angles)[..., None] * aside
    labels = np.repeat(np.arange(40, dtype=np.int32), 30)
    found = angles_to_centres(vectors.reshape(1_200, 200), labels, vectors.sum(axis=1))
    assert np.abs(found.reshape(40, 30) - angles).mean() < 0.03
    assert np.corrcoef(found, angles.reshape(-1))[0, 1] > 0.98


def test_the_spread_of_classes_is_told_from_the_tails_within() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(2_000, dtype=np.int32), rng.integers(3, 9, 2_000))
    spreads, tails = 0.3 * rng.standard_normal(2_000), 0.2 * rng.standard_normal(len(labels))
    typical, deviation, quantiles = log_angle_components(
        0.5 * np.exp(spreads[labels] + tails), labels
    )
    assert typical == pytest.approx(0.5, rel=0.02)
    assert deviation == pytest.approx(0.3, rel=0.05)
    assert quantiles[QUANTILES // 2] == pytest.approx(0, abs=0.01)
    low, high = np.interp([0.1587, 0.8413], np.linspace(0, 1, QUANTILES), quantiles)
    assert high - low == pytest.approx(0.4, rel=0.05)
