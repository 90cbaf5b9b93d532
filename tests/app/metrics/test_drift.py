"""Strangers, and how they score when the camera changes, in a gallery of synthetic people."""

from uuid import UUID, uuid4

import numpy as np
import pytest

from app.gallery.live import LiveGallery
from app.gallery.repository import Label, StoredSubjects
from app.metrics.drift import FEWEST, Drift
from app.settings import Settings
from app.tables import CollectionRow
from models.arrays import Floats
from models.calibration import Calibration
from models.zoo import read_manifest

PEOPLE, DIMENSION = 400, 192
COMMON = 0.25
"""How much all faces have in common, so that strangers have a cosine of about its square."""
ANOTHER_CAMERA = 0.4


def faces(rng: np.random.Generator, count: int, common: float = COMMON) -> Floats:
    rows = rng.normal(size=(count, DIMENSION)).astype(np.float32) / np.sqrt(DIMENSION)
    rows[:, 0] += common / np.sqrt(1 - common**2)
    normalised: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return normalised


@pytest.fixture(scope="module")
def live() -> LiveGallery:
    labels = {uuid4(): Label(None, None) for _ in range(PEOPLE)}
    stored = StoredSubjects(
        labels=labels,
        owners=np.arange(PEOPLE),
        templates=faces(np.random.default_rng(1), PEOPLE),
        rejected={},
    )
    collection = CollectionRow(
        id=UUID(int=1), name="door", embedder_name="e", embedder_sha256="0", revision=PEOPLE
    )
    prior = Calibration.of(read_manifest(Settings().embedder))
    return LiveGallery.build(collection, stored, prior)


def index_of(live: LiveGallery, probes: Floats) -> float | None:
    drift = Drift()
    quality = np.ones(len(probes), np.float32)
    for search in live.gallery.search(probes, quality, 1):
        drift.observe(search.candidates[0].score, live)
    return drift.index


def test_it_is_small_as_long_as_faces_are_like_those_enrolled(live: LiveGallery) -> None:
    index = index_of(live, faces(np.random.default_rng(2), 1500))
    assert index is not None
    assert index < 0.1


@pytest.mark.parametrize("common", [0.0, ANOTHER_CAMERA], ids=["less", "more"])
def test_it_rises_when_faces_become_less_or_more_alike(live: LiveGallery, common: float) -> None:
    index = index_of(live, faces(np.random.default_rng(2), 1500, common))
    assert index is not None
    assert index > 0.25


def test_it_follows_what_is_recent(live: LiveGallery) -> None:
    drift = Drift()
    found = []
    for seed, common in ((2, COMMON), (3, ANOTHER_CAMERA), (4, COMMON)):
        probes = faces(np.random.default_rng(seed), 3000, common)
        for search in live.gallery.search(probes, np.ones(len(probes), np.float32), 1):
            drift.observe(search.candidates[0].score, live)
        found.append(drift.index or 0.0)
    assert found[0] < 0.1 < 0.25 < found[1]
    assert found[2] < 0.1


def test_people_who_are_enrolled_do_not_count(live: LiveGallery) -> None:
    drift = Drift()
    for _ in range(2 * FEWEST):
        drift.observe(0.9, live)
    assert drift.index is None


def test_a_few_faces_tell_nothing(live: LiveGallery) -> None:
    assert index_of(live, faces(np.random.default_rng(2), FEWEST // 2)) is None
