import json
from pathlib import Path

import numpy as np
import pytest

from models.fusion import UNTRAINED, Fusion
from models.probability import FEATURES
from models.top_scores import TopScores
from tests.training.evaluation.galleries import gallery_of
from training.calibration.calibrate import calibrate
from training.calibration.errors import top_without
from training.calibration.evidence import Evidence
from training.calibration.thresholds import FPIRS
from training.searching.probes import Probes

KEYS = {
    "fusion",
    "poor_quality_below",
    "tails",
    "thresholds",
    "probability",
    "reliability",
    "validation",
}


@pytest.mark.parametrize("overlap", [False, True])
def test_with_enough_held_out_everything_is_calibrated(tmp_path: Path, overlap: bool) -> None:
    gallery = gallery_of(tmp_path, [5, 6] * 70, target_size=35, overlap=overlap)
    store, split, enrolled = gallery.store, gallery.split, gallery.enrolled
    document = calibrate(store, split, enrolled, gallery.nets)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(document) == KEYS
    fusion = Fusion.of_json(document["fusion"])
    assert 0 <= fusion.needed_share <= 1
    assert list(document["tails"]) == ["clean", "degraded"]
    assert all(tail["comparisons"] == 139 for tail in document["tails"].values())
    assert [row["fpir"] for row in document["thresholds"]] == list(FPIRS)
    assert document["probability"]["features"] == list(FEATURES)
    assert len(document["probability"]["coefficients"]) == len(FEATURES)
    assert list(document["validation"]) == ["clean", "degraded"]
    for part in document["validation"].values():
        assert part["probes"] == 140
        assert sum(part[f"clusters_{count}"] for count in (1, 2, 3)) == pytest.approx(1)
        assert part["mate_searched"] >= 1 - part["misnamed"]
        assert part["misnamed"] <= part["missed"]
    clean, degraded = document["validation"].values()
    assert clean["missed"] < degraded["missed"]
    # Two searches of each probe of both kinds.
    assert sum(row["count"] for row in document["reliability"]) == 4 * 140
    good = Probes.of(store, split.validation & store.originals, enrolled)
    strangers = top_without(Evidence.of(enrolled, gallery.nets, good), fusion)
    top = TopScores.of(strangers, 139)
    assert top is not None
    assert document["tails"]["clean"] == top.to_json()
    (here,) = (
        size["threshold"]
        for size in document["thresholds"][0]["by_gallery_size"]
        if size["subjects"] == 139
    )
    # The higher threshold of both kinds.
    assert here >= round(top.threshold(0.1), 6)
    assert np.mean(strangers >= here) <= 0.13


def test_without_degraded_copies_there_is_one_kind(tmp_path: Path) -> None:
    gallery = gallery_of(tmp_path, [5] * 110, target_size=200)
    split = gallery.split
    split.validation[~gallery.store.originals] = False
    document = calibrate(gallery.store, split, gallery.enrolled, gallery.nets)
    assert list(document["validation"]) == ["clean"]
    json.dumps(document, allow_nan=False)


@pytest.mark.parametrize("subjects", [100, 99])
def test_without_validation_enrolled_samples_tell_of_strangers(
    tmp_path: Path, subjects: int
) -> None:
    gallery = gallery_of(tmp_path, [1] * subjects, target_size=40)
    assert not gallery.split.validation.any()
    document = calibrate(gallery.store, gallery.split, gallery.enrolled, gallery.nets)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert set(document) == KEYS
    assert document["fusion"] == UNTRAINED.to_json()
    assert document["probability"] is None
    assert (document["reliability"], document["validation"]) == ([], {})
    if subjects < 100:
        assert (document["tails"], document["thresholds"]) == ({}, [])
    else:
        assert document["tails"]["clean"]["comparisons"] == 99
        # The mate, which is the sample itself, is not among those that are compared.
        assert document["tails"]["clean"]["start"] < 0.95


def test_the_smallest_gallery_is_three(tmp_path: Path) -> None:
    gallery = gallery_of(tmp_path, [40, 40, 200], target_size=2)
    document = calibrate(gallery.store, gallery.split, gallery.enrolled, gallery.nets)
    assert document["fusion"] == UNTRAINED.to_json()
    assert document["tails"]["clean"]["comparisons"] == 2
    json.dumps(document, allow_nan=False)
