from pathlib import Path
from shutil import copy

import pytest

from models.identifier import QueryPath
from training.embedding.pictures import centre_templates, chosen_pictures

DATA = Path(__file__).parents[2] / "data"


def test_subjects_and_pictures_come_sorted_and_chosen(tmp_path: Path) -> None:
    for name in ("b/2.jpg", "b/1.jpg", "a/1.jpg", "c/1.jpg", "c/2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "stray.jpg").touch()
    (tmp_path / "b/Thumbs.db").touch()
    chosen = chosen_pictures(tmp_path, min_images=2, left_out={"c"})
    assert chosen == {"b": [tmp_path / "b/1.jpg", tmp_path / "b/2.jpg"]}
    assert list(chosen_pictures(tmp_path)) == ["a", "b", "c"]


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        list(centre_templates(QueryPath.open(), [broken]))


def test_templates_come_in_order_and_without_a_face_none(tmp_path: Path) -> None:
    names = ["obama.jpg", "cat.jpg", "biden.jpg", "obama2.jpg"]
    pictures = [Path(copy(DATA / name, tmp_path)) for name in names]
    obama, cat, biden, obama2 = centre_templates(QueryPath.open(), pictures)
    assert cat is None
    assert obama is not None
    assert obama2 is not None
    assert biden is not None
    assert obama @ obama2 > 0.5 > obama @ biden
