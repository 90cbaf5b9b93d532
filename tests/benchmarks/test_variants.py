from pathlib import Path

import numpy as np
import pytest

from benchmarks.variants import Variant, grey, read_templates, smaller

DATA = Path(__file__).parents[1] / "data"


def test_a_smaller_picture_has_the_face_at_its_width() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (250, 200, 3), np.uint8)
    before = picture.copy()
    made = smaller(picture, crop_width_px=100)
    assert made.shape == (100, 80, 3)
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(picture, before)


def test_a_grey_picture_keeps_its_size_and_loses_its_colour() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (25, 20, 3), np.uint8)
    made = grey(picture)
    assert made.shape == picture.shape
    assert (made == made[:, :, :1]).all()
    # Green counts most for the eye (ITU-R BT.601).
    assert made[0, 0, 0] == round(float(picture[0, 0] @ (0.299, 0.587, 0.114)))


@pytest.mark.slow
def test_templates_are_kept_and_pictures_without_a_face_are_missing(tmp_path: Path) -> None:
    pictures = [DATA / name for name in ("obama.jpg", "cat.jpg", "biden.jpg")]
    kept = tmp_path / "kept" / "templates.npz"
    made = read_templates(pictures, kept)
    assert list(made.rows) == [pictures[0], pictures[2]]
    assert made.templates.shape == (2, len(Variant), 192)
    again = read_templates([pictures[2], pictures[0]], kept)
    np.testing.assert_array_equal(again.templates, made.templates)
    clean, quality = again.of([pictures[2]], Variant.CLEAN)
    np.testing.assert_array_equal(clean[0], made.templates[1, 0])
    for variant in list(Variant)[1:]:
        worse, _ = again.of([pictures[2]], variant)
        assert 0.2 < clean[0] @ worse[0] < 0.999
    _, less = again.of([pictures[2]], Variant.PX_24)
    assert less[0] < quality[0]
