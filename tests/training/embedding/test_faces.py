from pathlib import Path

import cv2
import numpy as np
import pytest

from models.embed import embed
from models.identifier import QueryPath, find_faces
from models.quality import assess
from tests.training.embedding.folders_of_pictures import DATA
from training.embedding.faces import Copies, PictureSkipped, SubjectFace, rows_of, subject_face
from training.embedding.hard import hard_probe
from training.stores.format import HARD_KINDS, Kind


@pytest.fixture(scope="module")
def path() -> QueryPath:
    return QueryPath.open()


@pytest.fixture(scope="module")
def face(path: QueryPath) -> SubjectFace:
    return subject_face(path, DATA / "astronaut.jpg")


def test_it_is_the_face_nearest_to_the_centre(path: QueryPath, tmp_path: Path) -> None:
    biden, obama = (cv2.imread(str(DATA / f"{name}.jpg")) for name in ("biden", "obama"))
    assert biden is not None
    assert obama is not None
    small = cv2.resize(obama, None, fx=0.5, fy=0.5)
    canvas = np.zeros((1200, 1800, 3), np.uint8)
    canvas[: len(biden), : biden.shape[1]] = biden
    top, left = 600 - len(small) // 2, 1100 - small.shape[1] // 2
    canvas[top : top + len(small), left : left + small.shape[1]] = small
    picture = tmp_path / "both.png"
    cv2.imwrite(str(picture), canvas)
    found = find_faces(path, picture.read_bytes())
    centre = found.nearest_to_centre()
    assert len(found) >= 2
    assert centre > 0, "the largest face comes first, and should be Biden's"
    chosen = subject_face(path, picture)
    np.testing.assert_array_equal(chosen.crop, found.crops[centre])
    np.testing.assert_array_equal(chosen.detection.boxes, found.detections.boxes[[centre]])
    obamas = subject_face(path, DATA / "obama.jpg")
    first, second = embed(path.embedder, np.stack([chosen.crop, obamas.crop]))
    assert first @ second > 0.5


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_image"),
        (b"GIF89a, or so it says", "unsupported_format"),
        ((DATA / "obama.jpg").read_bytes()[:3000], "corrupt_image"),
        ((DATA / "cat.jpg").read_bytes(), "no_face"),
    ],
)
def test_what_gives_no_face_is_skipped_with_a_reason(
    path: QueryPath, tmp_path: Path, content: bytes, reason: str
) -> None:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(content)
    with pytest.raises(PictureSkipped) as skipped:
        subject_face(path, picture)
    assert skipped.value.reason == reason


def test_a_disk_that_fails_is_no_fault_of_the_picture(path: QueryPath, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        subject_face(path, tmp_path / "gone.jpg")


def test_rows_are_the_copies_assessed_and_embedded(path: QueryPath, face: SubjectFace) -> None:
    rows = rows_of(path, face, Copies(augmented=2, degraded=5, hard=True), seed=1, name="a/1.jpg")
    wanted = [Kind.ORIGINAL, *[Kind.AUGMENTED] * 2, *[Kind.DEGRADED] * 5, *HARD_KINDS]
    np.testing.assert_array_equal(rows.kinds, wanted)
    assert rows.vectors.shape == (13, 192)
    # What nothing is drawn for can be made again, one by one.
    nose_y_px = float(path.embedder.manifest.template[2, 1])
    certain = {0: face.crop} | {
        8 + place: hard_probe(face.crop, kind, nose_y_px=nose_y_px)
        for place, kind in enumerate(HARD_KINDS)
    }
    for row, crop in certain.items():
        np.testing.assert_allclose(
            rows.vectors[row], embed(path.embedder, crop[None])[0], atol=1e-5
        )
        (quality,) = assess(face.detection, crop[None])
        assert rows.quality[row] == pytest.approx(quality.score)
    assert rows.quality.min() < rows.quality[0], "a copy has a quality of its own"
    # Each still shows the same person, and no two are the same.
    cosines = rows.vectors @ rows.vectors.T
    assert cosines[0].min() > 0.1
    assert cosines[~np.eye(13, dtype=bool)].max() < 0.9999


def test_seed_and_name_alone_decide_what_is_drawn(path: QueryPath, face: SubjectFace) -> None:
    def vectors(augmented: int, degraded: int, seed: int, name: str) -> list[bytes]:
        copies = Copies(augmented, degraded, hard=False)
        made = rows_of(path, face, copies, seed=seed, name=name)
        return [row.tobytes() for row in made.vectors.astype(np.float16)]

    first = vectors(1, 2, 7, "a/1.jpg")
    assert vectors(1, 2, 7, "a/1.jpg") == first
    for other in (vectors(1, 2, 8, "a/1.jpg"), vectors(1, 2, 7, "a/2.jpg")):
        assert other[0] == first[0]
        assert other[1] != first[1]
        assert other[2:] != first[2:]


def test_more_copies_of_one_kind_leave_the_others_as_they_are(
    path: QueryPath, face: SubjectFace
) -> None:
    few, many = (
        rows_of(path, face, Copies(augmented, 2, hard=False), seed=0, name="x").vectors
        for augmented in (0, 3)
    )
    np.testing.assert_allclose(few[1:], many[4:], atol=1e-5)
