from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest

from models.arrays import Floats
from models.class_means import class_means
from models.decide import Candidate
from models.gallery import SAME_TEMPLATE, Gallery
from tests.models.trained_galleries import DIMENSION, draw, gallery_of, near
from tests.training import small_stores


def unit_rows(rng: np.random.Generator, count: int) -> Floats:
    return small_stores.unit_rows(rng, count, DIMENSION)


def search(gallery: Gallery, probes: Floats, count: int) -> list[list[Candidate]]:
    found = gallery.search(probes, np.ones(len(probes), np.float32), count)
    return [list(each.candidates) for each in found]


def slow_search(
    subjects: dict[UUID, Floats], probe: Floats, count: int
) -> list[tuple[UUID, float]]:
    """Score every subject, one at a time."""
    scored = []
    for subject, samples in subjects.items():
        if len(samples) == 0:
            continue
        [mean] = class_means(samples, np.array([0, len(samples)]))
        best = max(float(sample @ probe) for sample in samples)
        scored.append((subject, 0.5 * float(mean @ probe) + 0.5 * best))
    return sorted(scored, key=lambda pair: -pair[1])[:count]


def assert_same(gallery: Gallery, subjects: dict[UUID, Floats], probes: Floats) -> None:
    for probe, found in zip(probes, search(gallery, probes, 5), strict=True):
        expected = slow_search(subjects, probe, 5)
        assert [c.subject_id for c in found] == [subject for subject, _ in expected]
        np.testing.assert_allclose(
            [c.score for c in found], [score for _, score in expected], atol=1e-5
        )


def test_search_agrees_with_one_subject_at_a_time() -> None:
    rng = np.random.default_rng(0)
    # Few enough subjects that the drawn class means hold everybody, so both orders are exact.
    subjects = {uuid4(): unit_rows(rng, int(rng.integers(1, 5))) for _ in range(30)}
    assert_same(gallery_of(subjects), subjects, unit_rows(rng, 20))


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
    gallery = gallery_of({})
    assert len(gallery) == 0
    assert search(gallery, unit_rows(rng, 2), 5) == [[], []]
    assert search(gallery_of({uuid4(): unit_rows(rng, 1)}), unit_rows(rng, 0), 5) == []


@pytest.mark.parametrize("steps", [1, 40])
def test_changes_agree_with_a_gallery_built_anew(steps: int) -> None:
    rng = np.random.default_rng(3)
    subjects = {uuid4(): unit_rows(rng, int(rng.integers(1, 4))) for _ in range(25)}
    gallery = gallery_of(subjects)
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


def test_many_changes_are_folded_into_the_live_layer() -> None:
    rng = np.random.default_rng(4)
    gallery = gallery_of({})
    subjects = {uuid4(): unit_rows(rng, 1) for _ in range(300)}
    for revision, (subject, samples) in enumerate(subjects.items(), start=2):
        gallery = gallery.with_changes({subject: samples}, [], revision=revision)
    assert len(gallery) == 300
    live, overlay = gallery.layers
    assert len(live) > len(overlay)
    for subject, samples in subjects.items():
        [[best]] = search(gallery, samples, 1)
        assert best.subject_id == subject


def test_a_snapshot_is_not_disturbed_by_the_next_one() -> None:
    rng = np.random.default_rng(5)
    subject, samples = uuid4(), unit_rows(rng, 1)
    before = gallery_of({subject: samples})
    after = before.with_changes({}, [subject], revision=2)
    assert search(before, samples, 1)[0][0].subject_id == subject
    assert search(after, samples, 1) == [[]]
    with pytest.raises(KeyError):
        after.templates_of(subject)


def test_a_subject_that_lost_its_last_sample_is_found_no_more() -> None:
    rng = np.random.default_rng(6)
    subject, samples = uuid4(), unit_rows(rng, 1)
    gallery = gallery_of({subject: samples}).with_changes({subject: samples[:0]}, [], revision=2)
    assert len(gallery) == 0
    assert search(gallery, samples, 1) == [[]]


def test_comparisons_count_the_root_of_each_subjects_samples() -> None:
    rng = np.random.default_rng(8)
    gone, changed, kept = (uuid4() for _ in range(3))
    gallery = gallery_of(
        {gone: unit_rows(rng, 4), changed: unit_rows(rng, 1), kept: unit_rows(rng, 9)}
    )
    assert gallery.comparisons == pytest.approx(2 + 1 + 3)
    after = gallery.with_changes({changed: unit_rows(rng, 16)}, [gone], revision=2)
    assert after.comparisons == pytest.approx(4 + 3)
    assert gallery_of({}).comparisons == 0


def test_a_template_that_was_said_not_to_be_of_a_subject_is_marked() -> None:
    rng = np.random.default_rng(9)
    subject, other = uuid4(), uuid4()
    rejected, probe = unit_rows(rng, 2)
    subjects = {subject: np.stack([rejected, probe]), other: unit_rows(rng, 1)}
    gallery = gallery_of(subjects).with_changes(
        {}, [], revision=2, rejected={subject: rejected[None]}
    )
    [anew] = near(rng, rejected[None], 0.1)
    assert anew @ rejected > SAME_TEMPLATE
    for template, expected in ((rejected, True), (anew, True), (probe, False)):
        [[first, second]] = search(gallery, template[None], 2)
        assert (first.subject_id, first.rejected) == (subject, expected)
        assert not second.rejected
    after = gallery.with_changes({other: unit_rows(rng, 1)}, [], revision=3)
    assert search(after, rejected[None], 1)[0][0].rejected
    lifted = gallery.with_changes({}, [], revision=3, rejected={})
    assert not search(lifted, rejected[None], 1)[0][0].rejected


@pytest.mark.parametrize("steps", [1, 30])
def test_changes_on_a_bundle_agree_with_a_gallery_built_anew(tmp_path: Path, steps: int) -> None:
    rng = np.random.default_rng(10)
    drawn = draw(tmp_path, rng)
    subjects = dict(drawn.subjects)
    gallery = gallery_of(subjects, drawn.trained)
    touched: set[UUID] = set()
    for step in range(steps):
        known = list(subjects)
        removed, changed = (known[int(row)] for row in rng.choice(len(known), 2, replace=False))
        upserts = {uuid4(): unit_rows(rng, 2), changed: unit_rows(rng, 3)}
        gallery = gallery.with_changes(upserts, [removed], revision=step + 2)
        del subjects[removed]
        subjects |= upserts
        touched |= {removed, *upserts}
        assert len(gallery) == len(subjects)
    afresh = gallery_of(subjects, drawn.trained, touched)
    again = gallery_of(subjects).with_trained(drawn.trained, touched)
    probes = np.concatenate([unit_rows(rng, 10), *subjects.values()])
    quality = np.ones(len(probes), np.float32)
    expected = afresh.search(probes, quality, 5)
    assert gallery.search(probes, quality, 5) == expected
    assert again.search(probes, quality, 5) == expected
    assert gallery.comparisons == pytest.approx(afresh.comparisons)
    assert gallery.changed_share == pytest.approx(afresh.changed_share)
    assert afresh.changed_share > 0


def test_a_subject_that_a_subnet_was_trained_with_is_gone_at_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    drawn = draw(tmp_path, rng)
    gallery = gallery_of(drawn.subjects, drawn.trained)
    for subject, samples in list(drawn.subjects.items())[:10]:
        assert search(gallery, samples[:1], 1)[0][0].subject_id == subject
        gallery = gallery.with_changes({}, [subject], revision=gallery.revision + 1)
        for probe in (
            samples[0],
            *(w for (_, each), w in drawn.weights.items() if each == subject),
        ):
            [found] = search(gallery, probe[None], 50)
            assert subject not in [each.subject_id for each in found]
        with pytest.raises(KeyError):
            gallery.templates_of(subject)


def test_without_a_bundle_everything_is_behind() -> None:
    gallery = gallery_of({uuid4(): unit_rows(np.random.default_rng(12), 1)})
    assert gallery.changed_share == 1


def test_a_wrong_picture_does_not_spoil_a_subject() -> None:
    """One of four samples is of somebody else: the class mean hardly moves from where it was."""
    rng = np.random.default_rng(13)
    person, wrong = np.linalg.qr(unit_rows(rng, 2).T)[0].T
    right = near(rng, np.repeat(person[None], 3, axis=0), 0.6)
    probes = near(rng, np.repeat(person[None], 50, axis=0), 0.6)
    good, spoiled = uuid4(), uuid4()
    clean = gallery_of({good: right})
    mixed = gallery_of({spoiled: np.concatenate([right, wrong[None]])})
    plain = (right.sum(axis=0) + wrong) / np.linalg.norm(right.sum(axis=0) + wrong)
    clean_mean, mixed_mean = (each.layers[0].index.means[0] for each in (clean, mixed))
    assert mixed_mean @ clean_mean > 0.99 > plain @ clean_mean
    scores, spoiled_scores = (
        np.array([found[0].score for found in search(each, probes, 1)]) for each in (clean, mixed)
    )
    assert np.abs(scores - spoiled_scores).max() < 0.05
