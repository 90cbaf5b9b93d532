from uuid import UUID, uuid4

import numpy as np
import pytest

from app.subjects.pictures import PreparedFace, Rejection, Verdict
from app.subjects.review import (
    of_one_person,
    of_subject,
    reject_conflicting,
    reject_duplicates,
)
from models.arrays import Floats
from models.gallery import Gallery
from models.quality import Quality

THRESHOLD = 0.5


def towards(*angles_degrees: float) -> Floats:
    """Unit vectors in a plane, whose cosines are those of the angles between them."""
    angles = np.radians(np.array(angles_degrees, np.float32))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def face(template: Floats, digest: bytes = b"") -> PreparedFace:
    quality = Quality(1.0, (), 100.0, 1.0, 0.5, 0.0, 0.5, 0.0, 0.0, 0.0)
    return PreparedFace(digest, np.zeros(4, np.float32), quality, template, (), b"")


@pytest.mark.parametrize(
    ("angles", "stay"),
    [
        ([0], [True]),
        ([0, 10], [True, True]),
        ([0, 90], [True, False]),  # nobody knows which: the first
        ([0, 90, 95], [False, True, True]),
        ([0, 90, 180, 10], [True, False, False, True]),
        ([0, 50, 100], [True, True, True]),  # both ends agree with the middle
        ([0, 5, 90, 95], [True, True, False, False]),
        ([90, 0, 5, 10, 95], [False, True, True, True, False]),
    ],
)
def test_most_pictures_say_who_it_is(angles: list[float], stay: list[bool]) -> None:
    assert of_one_person(towards(*angles), THRESHOLD).tolist() == stay


def test_a_known_subject_s_most_alike_sample_counts() -> None:
    known = towards(0, 120)
    assert of_subject(towards(10, 60, 61, 130, 200), known, THRESHOLD).tolist() == [
        True, True, True, True, False,
    ]  # fmt: skip


def test_pictures_that_are_there_or_came_before_are_duplicates() -> None:
    faces: list[Verdict] = [face(towards(0)[0], digest) for digest in (b"a", b"b", b"a", b"c")]
    faces.insert(1, Rejection("no_face", ""))
    reasons = [getattr(each, "reason", None) for each in reject_duplicates(faces, {b"c"})]
    assert reasons == [None, "no_face", None, "duplicate_picture", "duplicate_picture"]


@pytest.fixture
def others() -> tuple[list[UUID], Gallery]:
    ids = [uuid4(), uuid4()]
    gallery = Gallery.build(ids, np.array([0, 1]), towards(0, 90), dimension=2, revision=1)
    return ids, gallery


def test_a_face_of_another_subject_conflicts(others: tuple[list[UUID], Gallery]) -> None:
    (first, second), gallery = others
    verdicts = reject_conflicting(
        [face(each) for each in towards(5, 95, 200)], gallery, 0.9, own=None
    )
    assert [getattr(each, "conflicting_subject_id", None) for each in verdicts] == [
        first, second, None,
    ]  # fmt: skip


def test_its_own_subject_does_not(others: tuple[list[UUID], Gallery]) -> None:
    (first, second), gallery = others
    verdicts = reject_conflicting([face(each) for each in towards(5, 95)], gallery, 0.9, own=first)
    assert [getattr(each, "conflicting_subject_id", None) for each in verdicts] == [None, second]


def test_the_next_nearest_conflicts_where_the_nearest_is_its_own() -> None:
    own, other = uuid4(), uuid4()
    gallery = Gallery.build([own, other], np.array([0, 1]), towards(0, 10), dimension=2, revision=1)
    (verdict,) = reject_conflicting([face(towards(2)[0])], gallery, 0.9, own=own)
    assert isinstance(verdict, Rejection)
    assert verdict.conflicting_subject_id == other


def test_nobody_conflicts_with_an_empty_gallery() -> None:
    gallery = Gallery.build(
        [], np.empty(0, np.int64), np.empty((0, 2), np.float32), dimension=2, revision=0
    )
    (verdict,) = reject_conflicting([face(towards(0)[0])], gallery, -1.0, own=None)
    assert isinstance(verdict, PreparedFace)
