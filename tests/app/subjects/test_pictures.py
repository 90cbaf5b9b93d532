import hashlib
from collections.abc import Callable

import numpy as np
import pytest

from app.subjects.pictures import PreparedFace, Rejection, prepare_picture
from models.embed import embed
from models.identifier import QueryPath, find_faces

Picture = Callable[[str], bytes]


def test_a_face_is_prepared_the_same_way_each_time(query_path: QueryPath, picture: Picture) -> None:
    data = picture("obama2")
    first, second = (
        prepare_picture(query_path, data, select=None, min_quality=0, variants=5) for _ in range(2)
    )
    assert isinstance(first, PreparedFace)
    assert isinstance(second, PreparedFace)
    assert first.picture_sha256 == hashlib.sha256(data).digest()
    assert [kind for kind, _ in first.variants] == [kind for kind, _ in second.variants]
    for (_, one), (_, other) in zip(first.variants, second.variants, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(first.template, second.template)


def test_the_template_is_that_of_a_search(query_path: QueryPath, picture: Picture) -> None:
    prepared = prepare_picture(
        query_path, picture("obama2"), select=None, min_quality=0, variants=3
    )
    assert isinstance(prepared, PreparedFace)
    probe = embed(query_path.embedder, find_faces(query_path, picture("obama2")).crops)[0]
    np.testing.assert_allclose(prepared.template, probe, atol=1e-5)
    assert len(prepared.variants) == 3
    for _, template in prepared.variants:
        assert np.linalg.norm(template) == pytest.approx(1, abs=1e-5)
        assert template @ probe < 0.9999


def test_no_variants_are_made_where_none_are_wanted(
    query_path: QueryPath, picture: Picture
) -> None:
    prepared = prepare_picture(
        query_path, picture("obama2"), select=None, min_quality=0, variants=0
    )
    assert isinstance(prepared, PreparedFace)
    assert prepared.variants == ()


@pytest.mark.parametrize(
    ("name", "reason"), [("cat", "no_face"), ("golden/group-pair-240", "multiple_faces")]
)
def test_pictures_without_exactly_one_face(
    query_path: QueryPath, picture: Picture, name: str, reason: str
) -> None:
    verdict = prepare_picture(query_path, picture(name), select=None, min_quality=0, variants=0)
    assert isinstance(verdict, Rejection)
    assert verdict.reason == reason


def test_a_doubtful_face_beside_a_sure_one_does_not_make_a_picture_ambiguous(
    query_path: QueryPath, picture: Picture
) -> None:
    data = picture("partial")  # the detector takes the cuff below for a face, at 0.85
    found = find_faces(query_path, data)
    assert len(found) == 2
    sure = int(np.argmax(found.detections.scores))
    prepared = prepare_picture(query_path, data, select=None, min_quality=0, variants=0)
    assert isinstance(prepared, PreparedFace)
    np.testing.assert_array_equal(prepared.box, found.detections.boxes[sure])
