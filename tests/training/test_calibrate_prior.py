from pathlib import Path

import numpy as np
import pytest

from models.calibration import Calibration
from models.identifier import QueryPath
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest
from tests.training.calibration.made_up_pictures import made_up_pictures
from training.calibrate_prior import (
    calibration_document,
    decision_constants,
    non_mated_scores,
    read_pictures,
    write_calibration,
)
from training.embedding.pictures import centre_templates

DATA = Path(__file__).parents[1] / "data"


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


@pytest.mark.slow
def test_the_file_says_what_was_measured(tmp_path: Path) -> None:
    scores = np.random.default_rng(1).normal(0, 0.1, 300_000).astype(np.float32)
    manifest = read_manifest(DEFAULT_EMBEDDER)
    path = tmp_path / "calibration.json"
    document = calibration_document(scores, manifest=manifest, flip=True, made_from={"subjects": 3})
    constants = decision_constants(document, made_up_pictures(people=40, pictures=2))
    write_calibration(document | constants, path)
    calibration = Calibration.load(path)
    assert calibration.embedder_sha256 == manifest.sha256
    for threshold in (0.05, 0.15, 0.25, 0.35):
        observed = float(np.mean(scores >= threshold))
        assert calibration.fmr(threshold) == pytest.approx(observed, rel=0.1)
    assert calibration.gap == constants["gap"]
    assert calibration.probability.to_json() == constants["probability"]
    assert [file.name for file in tmp_path.iterdir()] == ["calibration.json"]


@pytest.mark.slow
def test_pictures_of_people_are_read_with_a_degraded_copy_of_each() -> None:
    folder = DATA
    chosen = {
        "obama": [folder / f"{name}.jpg" for name in ("obama", "obama2", "obama3")],
        "cat": [folder / "cat.jpg"],
        "biden": [folder / "biden.jpg"],
    }
    path = QueryPath.open()
    pictures = read_pictures(path, chosen, max_images=2)
    assert pictures.subjects.tolist() == [0, 0, 2]
    assert pictures.templates.shape == (3, 2, path.embedder.manifest.dimension)
    assert pictures.quality.shape == (3, 2)
    whole = [
        template
        for template in centre_templates(path, [chosen["obama"][0], chosen["biden"][0]])
        if template is not None
    ]
    np.testing.assert_allclose(pictures.templates[[0, 2], 0], whole, atol=1e-4)
    own = (pictures.templates[:, 0] * pictures.templates[:, 1]).sum(axis=1)
    assert (own > 0.5).all()
    assert (own < 0.9999).all()


@pytest.mark.slow
def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        read_pictures(QueryPath.open(), {"somebody": [broken]}, max_images=1)
