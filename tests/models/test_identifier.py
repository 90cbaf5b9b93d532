from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from models.calibration import Calibration
from models.decode import PictureRefused
from models.embed import embed
from models.gallery import Gallery
from models.identifier import Identification, QueryPath, find_faces, identify
from models.self_calibration import SelfCalibration

DATA = Path(__file__).parents[1] / "data"
OBAMA, BIDEN = UUID(int=1), UUID(int=2)


@pytest.fixture(scope="module")
def path() -> QueryPath:
    return QueryPath.open()


def read(name: str) -> bytes:
    return (DATA / f"{name}.jpg").read_bytes()


def gallery_of(path: QueryPath, people: dict[UUID, str]) -> Gallery:
    templates = [
        embed(path.embedder, find_faces(path, read(name)).crops)[0] for name in people.values()
    ]
    return Gallery.build(
        list(people),
        np.arange(len(people)),
        np.array(templates, np.float32).reshape(-1, 192),
        dimension=192,
        revision=7,
    )


def calibrated(path: QueryPath, gallery: Gallery) -> SelfCalibration:
    return SelfCalibration.of(Calibration.of(path.embedder.manifest), gallery)


def ask(
    path: QueryPath, name: str, gallery: Gallery, *, limit: int, threshold: float
) -> Identification:
    # Nobody is told apart from the next in line by no gap at all.
    calibration = replace(calibrated(path, gallery), gap=0.0)
    return identify(path, read(name), gallery, calibration, limit=limit, threshold=threshold)


def test_the_whole_path_names_the_known_and_nobody_else(path: QueryPath) -> None:
    gallery = gallery_of(path, {OBAMA: "obama", BIDEN: "biden"})
    calibration = calibrated(path, gallery)
    threshold = calibration.threshold(max_fpir=0.01, comparisons=gallery.comparisons)
    for name, expected in (("obama2", OBAMA), ("obama3", OBAMA), ("astronaut", None)):
        identification = identify(
            path, read(name), gallery, calibration, limit=5, threshold=threshold
        )
        [answer] = identification.answers
        assert (answer.best and answer.best.subject_id) == expected
        assert len(answer.candidates) == 2
        [probability] = identification.probabilities
        assert probability is not None
        assert (probability > 0.5) == (expected is not None)
        [template] = identification.templates
        assert np.linalg.norm(template) == pytest.approx(1, abs=1e-5)
        stages = ("decode", "detect", "align", "embed", "search", "decide")
        spent = [identification.timings_ms[stage] for stage in stages]
        assert min(spent) >= 0
        assert sum(spent) <= identification.timings_ms["total"]


def test_a_picture_without_a_face_has_no_answers(path: QueryPath) -> None:
    identification = ask(path, "cat", gallery_of(path, {}), limit=5, threshold=0.5)
    assert identification.answers == ()
    assert len(identification.found) == 0


def test_an_empty_gallery_knows_nobody(path: QueryPath) -> None:
    identification = ask(path, "biden", gallery_of(path, {}), limit=5, threshold=-1)
    [answer] = identification.answers
    assert (answer.decision, answer.candidates, answer.best) == ("unknown", (), None)
    assert identification.probabilities == (None,)


def test_how_many_candidates_are_listed_decides_nothing(path: QueryPath) -> None:
    gallery = gallery_of(path, {OBAMA: "obama", BIDEN: "biden"})
    picture = "golden/group-three-240"
    # At this threshold each face takes whoever is left, so later ones need a second candidate.
    few, many = (ask(path, picture, gallery, limit=n, threshold=-1).answers for n in (1, 20))
    assert [answer.best for answer in few] == [answer.best for answer in many]
    assert len({answer.best.subject_id for answer in few if answer.best}) == 2
    assert [len(answer.candidates) for answer in few] == [1] * len(few)


def test_the_face_nearest_to_the_centre_is_found(path: QueryPath) -> None:
    found = find_faces(path, read("golden/group-three-240"))
    boxes = found.detections.boxes
    distances = [
        np.hypot((x1 + x2) / 2 - found.width_px / 2, (y1 + y2) / 2 - found.height_px / 2)
        for x1, y1, x2, y2 in boxes
    ]
    assert found.nearest_to_centre() == int(np.argmin(distances))


def test_what_is_no_picture_is_refused(path: QueryPath) -> None:
    with pytest.raises(PictureRefused):
        find_faces(path, b"no picture")
