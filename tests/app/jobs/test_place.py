"""Which processes find each other's bundles."""

from pathlib import Path

from pydantic import SecretStr

from app.jobs.place import ANYWHERE, PLACE, place_of
from app.settings import Settings


def test_a_data_directory_is_a_place_by_whatever_path(tmp_path: Path) -> None:
    first = Settings(data_dir=tmp_path / "a" / "data")
    place = place_of(first)
    assert place == place_of(first)
    assert [path.name for path in first.data_dir.iterdir()] == [PLACE]
    (tmp_path / "link").symlink_to(first.data_dir)
    assert place_of(Settings(data_dir=tmp_path / "link")) == place
    assert place_of(Settings(data_dir=tmp_path / "b")) not in (place, ANYWHERE)


def test_all_that_have_a_store_are_in_one_place(tmp_path: Path) -> None:
    for name in ("a", "b"):
        settings = Settings(data_dir=tmp_path / name, bundle_store=SecretStr("/somewhere"))
        assert place_of(settings) == ANYWHERE
        assert not settings.data_dir.exists()
