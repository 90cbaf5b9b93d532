"""The committed golden pictures are the ones that the script makes."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from training.export.golden_pictures import derived_pictures

DATA = Path(__file__).resolve().parents[2] / "data"
GOLDEN = DATA / "golden"


def test_every_derived_picture_is_committed_with_its_faces() -> None:
    golden = json.loads((GOLDEN / "golden.json").read_text())
    derived = dict(derived_pictures(DATA))
    files = {f"{name}.jpg" for name in derived}
    assert files == {path.name for path in GOLDEN.glob("*.jpg")}
    assert all(files == set(run["faces"]) for run in golden["runs"])
    for name, picture in derived.items():
        committed = Image.open(GOLDEN / f"{name}.jpg")
        assert committed.size == picture.size
        # JPEG changes single pixels, and libraries may resize a little differently.
        difference = np.asarray(committed, np.float32) - np.asarray(picture, np.float32)
        assert abs(difference.mean()) < 1


def test_they_are_the_same_each_time() -> None:
    first, second = (dict(derived_pictures(DATA)) for _ in range(2))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)
