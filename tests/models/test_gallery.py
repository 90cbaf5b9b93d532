from uuid import UUID, uuid4

import numpy as np
import pytest

from models.arrays import Floats
from models.gallery import Gallery, class_means

DIMENSION = 16


def unit_rows(rng: np.random.Generator, count: int) -> Floats:
    rows = rng.standard_normal((count, DIMENSION)).astype(np.float32)
    unit: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def slow_search(
    subjects: dict[UUID, Floats], probe: Floats, count: int
) -> list[tuple[UUID, float]]:
    """Score every subject, one at a time."""
    scored = []
    for subject, samples in subjects.items():
        if len(samples) == 0:
            continue
        mean = samples.sum(axis=0)
        mean /= np.linalg.norm(mean)
        best = max(float(sample @ probe) for sample in samples)
        scored.append((subject, 0.5 * float(mean @ probe) + 0.5 * best))
    return sorted(scored, key=lambda pair: -pair[1])[:count]


def build(subjects: dict[UUID, Floats], revision: int = 1) -> Gallery:
    owners = [row for row, samples in enumerate(subjects.values()) for _ in samples]
    return Gallery.build(
        list(subjects),
        np.array(owners, np.int64),
        np.concatenate([*subjects.values(), np.empty((0, DIMENSION), np.float32)]),
        dimension=DIMENSION,
        revision=revision,
    )


def assert_same(gallery: Gallery, subjects: dict[UUID, Floats], probes: Floats) -> None:
    for probe, found in zip(probes, gallery.search(probes, 5), strict=True):
        expected = slow_search(subjects, probe, 5)
        assert [c.subject_id for c in found] == [subject for subject, _ in expected]
        np.testing.assert_allclose(
            [c.score for c in found], [score for _, score in expected], atol=1e-5
        )


def test_search_agrees_with_one_subject_at_a_time() -> None:
    rng = np.random.default_rng(0)
    # Few enough subjects that the drawn class means hold everybody, so both orders are exact.
    subjects = {uuid4(): unit_rows(rng, int(rng.integers(1, 5))) for _ in range(30)}
    assert_same(build(subjects), subjects, unit_rows(rng, 20))


def test_templates_may_come_in_any_order() -> None:
    rng = np.random.default_rng(1)
    ids = [uuid4() for _ in range(4)]
    owners = np.array([3, 0, 1, 0, 3, 1, 0])
    templates = unit_rows(rng, len(owners))
    gallery = Gallery.build(ids, owners, templates, dimension=DIMENSION, revision=1)
    assert len(gallery) == 3  # the third has no sample
    for number in (0, 1, 3):
        np.testing.assert_array_equal(
            gallery.templates_of(ids[number]), templates[owners == number]
        )


def test_empty_gallery_finds_nobody() -> None:
    rng = np.random.default_rng(2)
    gallery = build({})
    assert len(gallery) == 0
    assert gallery.search(unit_rows(rng, 2), 5) == [[], []]
    assert build({uuid4(): unit_rows(rng, 1)}).search(unit_rows(rng, 0), 5) == []


@pytest.mark.parametrize("steps", [1, 40])
def test_changes_agree_with_a_gallery_built_anew(steps: int) -> None:
    rng = np.random.default_rng(3)
    subjects = {uuid4(): unit_rows(rng, int(rng.integers(1, 4))) for _ in range(25)}
    gallery = build(subjects)
    for step in range(steps):
        known = list(subjects)
        removed = known[int(rng.integers(len(known)))]
        changed = known[int(rng.integers(len(known)))]
        upserts = {uuid4(): unit_rows(rng, 2)}
        if changed != removed:
            upserts[changed] = unit_rows(rng, 3)
        gallery = gallery.with_changes(upserts, [removed], revision=step + 2)
        del subjects[removed]
        subjects |= upserts
        assert len(gallery) == len(subjects)
    assert gallery.revision == steps + 1
    assert_same(gallery, subjects, unit_rows(rng, 10))


def test_many_changes_are_folded_into_the_base() -> None:
    rng = np.random.default_rng(4)
    gallery = build({})
    subjects = {uuid4(): unit_rows(rng, 1) for _ in range(300)}
    for revision, (subject, samples) in enumerate(subjects.items(), start=2):
        gallery = gallery.with_changes({subject: samples}, [], revision=revision)
    assert len(gallery) == 300
    assert len(gallery.base.subject_ids) > 0
    for subject, samples in subjects.items():
        [[best]] = gallery.search(samples, 1)
        assert best.subject_id == subject


def test_a_snapshot_is_not_disturbed_by_the_next_one() -> None:
    rng = np.random.default_rng(5)
    subject, samples = uuid4(), unit_rows(rng, 1)
    before = build({subject: samples})
    after = before.with_changes({}, [subject], revision=2)
    assert before.search(samples, 1)[0][0].subject_id == subject
    assert after.search(samples, 1) == [[]]
    with pytest.raises(KeyError):
        after.templates_of(subject)


def test_a_subject_that_lost_its_last_sample_is_found_no_more() -> None:
    rng = np.random.default_rng(6)
    subject, samples = uuid4(), unit_rows(rng, 1)
    gallery = build({subject: samples}).with_changes({subject: samples[:0]}, [], revision=2)
    assert len(gallery) == 0
    assert gallery.search(samples, 1) == [[]]


def test_class_means_have_unit_length_or_point_nowhere() -> None:
    rng = np.random.default_rng(7)
    sample = unit_rows(rng, 1)
    means = class_means(np.concatenate([sample, sample, sample, -sample]), np.array([0, 2, 4]))
    np.testing.assert_allclose(means, np.concatenate([sample, np.zeros_like(sample)]), atol=1e-6)


def test_comparisons_count_the_root_of_each_subjects_samples() -> None:
    rng = np.random.default_rng(8)
    gone, changed, kept = (uuid4() for _ in range(3))
    gallery = build({gone: unit_rows(rng, 4), changed: unit_rows(rng, 1), kept: unit_rows(rng, 9)})
    assert gallery.comparisons == pytest.approx(2 + 1 + 3)
    after = gallery.with_changes({changed: unit_rows(rng, 16)}, [gone], revision=2)
    assert after.comparisons == pytest.approx(4 + 3)
    assert build({}).comparisons == 0
