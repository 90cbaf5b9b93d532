from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest

from models.arrays import Floats
from models.non_mated import NonMated, collect
from tests.models.trained_galleries import DIMENSION, draw, gallery_of
from tests.training import small_stores


def unit_rows(rng: np.random.Generator, count: int) -> Floats:
    return small_stores.unit_rows(rng, count, DIMENSION)


def people(rng: np.random.Generator, samples: list[int]) -> dict[UUID, Floats]:
    return {uuid4(): unit_rows(rng, count) for count in samples}


def slow_collect(subjects: dict[UUID, Floats]) -> tuple[Floats, Floats]:
    """Best scores and gaps of all samples, each in a gallery without its subject."""
    best, gaps = [], []
    for subject, samples in subjects.items():
        others = gallery_of({each: rows for each, rows in subjects.items() if each != subject})
        for sample in samples:
            [found] = others.search(sample[None], np.ones(1, np.float32), 2)
            first, second = (candidate.score for candidate in found.candidates)
            best.append(first)
            gaps.append(first - second)
    return np.sort(best), np.sort(gaps)


def test_searches_agree_with_galleries_without_each_subject() -> None:
    subjects = people(np.random.default_rng(0), [1, 2, 3, 1, 4, 2])
    (found,) = collect(gallery_of(subjects))
    best, gaps = slow_collect(subjects)
    np.testing.assert_allclose(np.sort(found.top_scores), best, atol=1e-6)
    np.testing.assert_allclose(np.sort(found.gaps), gaps, atol=1e-6)


def test_comparisons_are_those_of_a_gallery_with_one_subject_less() -> None:
    rng = np.random.default_rng(1)
    subjects = people(rng, [4] * 10)
    (found,) = collect(gallery_of(subjects))
    smaller = gallery_of(dict(list(subjects.items())[:9]))
    assert found.comparisons == pytest.approx(smaller.comparisons)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_subjects_tell_nothing(count: int) -> None:
    assert collect(gallery_of(people(np.random.default_rng(2), [2] * count))) == ()


def test_many_subjects_give_one_sample_each_and_few_give_several() -> None:
    rng = np.random.default_rng(3)
    gallery = gallery_of(people(rng, [3] * 40))
    (found,) = collect(gallery, most=25)
    assert len(found.top_scores) == len(found.gaps) == 25
    (found,) = collect(gallery, most=80)
    assert len(found.top_scores) == 80
    (found,) = collect(gallery, most=1_000)
    assert len(found.top_scores) == 120
    every = set(found.top_scores.tolist())
    assert set(collect(gallery, most=80)[0].top_scores.tolist()) < every


def test_the_same_gallery_gives_the_same_searches() -> None:
    gallery = gallery_of(people(np.random.default_rng(4), [2] * 50))
    for most in (30, 500):
        (first,), (second,) = collect(gallery, most=most), collect(gallery, most=most)
        np.testing.assert_array_equal(first.top_scores, second.top_scores)
    (other,) = collect(gallery, most=30, seed=1)
    assert set(other.top_scores) != set(collect(gallery, most=30)[0].top_scores)


def test_who_is_gone_or_has_changed_is_searched_as_now() -> None:
    rng = np.random.default_rng(5)
    subjects = people(rng, [2] * 20)
    first, second, *_ = subjects
    changed = unit_rows(rng, 3)
    gallery = gallery_of(subjects).with_changes({first: changed}, [second], revision=2)
    (found,) = collect(gallery, most=1_000)
    del subjects[second]
    best, _ = slow_collect(subjects | {first: changed})
    np.testing.assert_allclose(np.sort(found.top_scores), best, atol=1e-6)


def test_a_bundle_that_scores_poor_probes_otherwise_gives_both_kinds(tmp_path: Path) -> None:
    drawn = draw(tmp_path, np.random.default_rng(6))
    gallery = gallery_of(drawn.subjects, drawn.trained)
    good, poor = collect(gallery)
    subject, samples = next(iter(drawn.subjects.items()))
    for searches, quality in ((good, 0.9), (poor, 0.1)):
        assert len(searches.top_scores) == sum(len(rows) for rows in drawn.subjects.values())
        [own] = gallery.search(samples[:1], np.array([quality], np.float32), 2, without=[subject])
        assert np.abs(searches.top_scores - own.candidates[0].score).min() < 1e-6


def test_who_is_not_found_is_as_little_alike_as_can_be() -> None:
    rng = np.random.default_rng(7)
    subjects = people(rng, [1, 1])
    one, other = subjects
    probe = subjects[one]
    found = NonMated.of(gallery_of(subjects), probe, 1.0, [one])
    score = float(subjects[other][0] @ probe[0])
    assert found.top_scores.tolist() == pytest.approx([score], abs=1e-6)
    assert found.gaps.tolist() == pytest.approx([score + 1], abs=1e-6)
    found = NonMated.of(gallery_of({one: probe}), probe, 1.0, [one])
    assert found.top_scores.tolist() == [-1]
