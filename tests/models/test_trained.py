from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.bundle_format import BundleInvalid
from models.probability import Probability
from models.trained import Trained
from tests.models.trained_galleries import FUSION, draw

FITTED = Probability(0.5, (1.0, 2.0, 3.0, 4.0))


def opened(tmp_path: Path, calibration: dict[str, Any]) -> Trained:
    bundle = draw(tmp_path, np.random.default_rng(0), classes=6).trained.bundle
    return Trained.of(replace(bundle, calibration=calibration), memory_limit_bytes=2**20)


@pytest.mark.parametrize("probability", [None, FITTED])
def test_a_bundle_says_how_to_decide(tmp_path: Path, probability: Probability | None) -> None:
    told = {
        "fusion": FUSION.to_json(),
        "probability": None if probability is None else probability.to_json(),
    }
    trained = opened(tmp_path, told)
    assert trained.probability == probability
    assert trained.fusion.to_json() == FUSION.to_json()


@pytest.mark.parametrize(
    "calibration",
    [
        {},
        {"fusion": {"needed_share": 2}},
        {"fusion": FUSION.to_json(), "probability": {"features": ["age"]}},
    ],
)
def test_a_bundle_that_does_not_is_refused(tmp_path: Path, calibration: dict[str, Any]) -> None:
    with pytest.raises(BundleInvalid, match=r"calibration\.json: does not say how to decide"):
        opened(tmp_path, calibration)
