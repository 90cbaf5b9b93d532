from pathlib import Path

import numpy as np
import pytest

from models.calibration import Calibration
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest
from training.calibrate_prior import calibration_document, non_mated_scores, write_calibration


def test_every_pair_of_different_subjects_counts_once() -> None:
    rng = np.random.default_rng(0)
    templates = rng.standard_normal((7, 4)).astype(np.float32)
    subjects = np.array([0, 0, 1, 2, 2, 2, 3])
    slow = [
        templates[first] @ templates[second]
        for first in range(7)
        for second in range(first + 1, 7)
        if subjects[first] != subjects[second]
    ]
    np.testing.assert_allclose(
        np.sort(non_mated_scores(templates, subjects)), np.sort(slow), atol=1e-5
    )


def test_the_file_says_what_was_measured(tmp_path: Path) -> None:
    scores = np.random.default_rng(1).normal(0, 0.1, 300_000).astype(np.float32)
    manifest = read_manifest(DEFAULT_EMBEDDER)
    path = tmp_path / "calibration.json"
    document = calibration_document(scores, manifest=manifest, flip=True, made_from={"subjects": 3})
    write_calibration(document, path)
    calibration = Calibration.load(path)
    assert calibration.embedder_sha256 == manifest.sha256
    for threshold in (0.05, 0.15, 0.25, 0.35):
        observed = float(np.mean(scores >= threshold))
        assert calibration.fmr(threshold) == pytest.approx(observed, rel=0.1)
    assert [file.name for file in tmp_path.iterdir()] == ["calibration.json"]
