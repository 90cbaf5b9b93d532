import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.calibration import Calibration, CalibrationInvalid
from models.probability import Probability

DOCUMENT: dict[str, Any] = {
    "embedder": {"name": "some-net", "sha256": "0" * 64},
    "body": {"cosines": [0.0, 0.2, 0.4], "fmr": [0.5, 0.1, 0.01]},
    "tail": {"shape": -0.1, "scale": 0.05},
    "gap": 0.09,
    "probability": Probability(1.0, (25.0, 8.0, -0.4, -1.0)).to_json(),
}


def load(folder: Path, document: dict[str, Any] = DOCUMENT) -> Calibration:
    path = folder / "calibration.json"
    path.write_text(json.dumps(document))
    return Calibration.load(path)


@pytest.mark.parametrize("shape", [-0.1, 0.0, 0.1])
def test_threshold_is_the_inverse_of_fmr(tmp_path: Path, shape: float) -> None:
    calibration = load(tmp_path, DOCUMENT | {"tail": {"shape": shape, "scale": 0.05}})
    for fmr in (0.3, 0.05, 0.01, 1e-3, 1e-5, 1e-6):
        threshold = calibration.threshold_for_fmr(fmr)
        if threshold < 1:
            assert calibration.fmr(threshold) == pytest.approx(fmr, rel=1e-6)


def test_fmr_falls_without_a_jump_where_the_tail_begins(tmp_path: Path) -> None:
    calibration = load(tmp_path)
    cosines = np.linspace(0, 0.8, 801)
    fmrs = np.array([calibration.fmr(cosine) for cosine in cosines])
    assert np.all(np.diff(fmrs) <= 0)
    assert calibration.fmr(0.4 - 1e-9) == pytest.approx(calibration.fmr(0.4 + 1e-9), rel=1e-6)


def test_threshold_follows_the_formula_and_grows_with_the_gallery(tmp_path: Path) -> None:
    calibration = load(tmp_path)
    thresholds = []
    for comparisons in (1, 10, 1_000, 1_000_000):
        threshold = calibration.threshold(max_fpir=0.01, comparisons=comparisons)
        assert 1 - (1 - calibration.fmr(threshold)) ** comparisons == pytest.approx(0.01, rel=1e-3)
        thresholds.append(threshold)
    assert thresholds == sorted(thresholds)
    assert calibration.threshold(max_fpir=0.01, comparisons=0) == thresholds[0]


def test_a_stricter_target_needs_a_higher_threshold(tmp_path: Path) -> None:
    calibration = load(tmp_path)
    strict, lax = (calibration.threshold(max_fpir=f, comparisons=100) for f in (0.001, 0.1))
    assert strict > lax


@pytest.mark.parametrize(
    "document",
    [
        {},
        DOCUMENT | {"body": {"cosines": [0.2, 0.1], "fmr": [0.5, 0.1]}},
        DOCUMENT | {"body": {"cosines": [0.1, 0.2], "fmr": [0.1, 0.5]}},
        DOCUMENT | {"body": {"cosines": [0.1], "fmr": [0.1]}},
        DOCUMENT | {"tail": {"shape": 0.1, "scale": 0}},
        DOCUMENT | {"gap": 0},
        DOCUMENT | {"probability": {"features": ["score"], "intercept": 0, "coefficients": [1]}},
        {key: value for key, value in DOCUMENT.items() if key != "probability"},
    ],
)
def test_an_unsound_file_is_refused_by_name(tmp_path: Path, document: dict[str, Any]) -> None:
    with pytest.raises(CalibrationInvalid, match=r"calibration\.json"):
        load(tmp_path, document)


def test_gap_and_probability_are_read(tmp_path: Path) -> None:
    calibration = load(tmp_path)
    assert calibration.gap == 0.09
    assert calibration.probability == Probability(1.0, (25.0, 8.0, -0.4, -1.0))


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CalibrationInvalid, match="nowhere"):
        Calibration.load(tmp_path / "nowhere.json")
