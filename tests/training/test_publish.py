import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle
from models.bundle_format import BundleInvalid
from tests.training.bundles import bundle_contents
from tests.training.small_stores import EMBEDDER
from training.publish import Subnet, publish


def contents_of(folder: Path) -> Mapping[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: a write fails in its midst, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_same_contents_give_the_same_bytes(tmp_path: Path) -> None:
    contents = bundle_contents(tmp_path)
    ids = {publish(contents, tmp_path / "deep" / "er" / name) for name in ("one", "two")}
    places = sorted((tmp_path / "deep" / "er").iterdir())
    assert [place.name for place in places] == ["one", "two"]
    assert contents_of(places[0]) == contents_of(places[1])
    assert ids == {Bundle.open(places[0], embedder=EMBEDDER).id}
    assert publish(replace(contents, seed=12), tmp_path / "three") not in ids


def test_what_is_there_already_stays(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(FileExistsError, match="is there already"):
        publish(bundle_contents(tmp_path), tmp_path / "bundle")
    assert not list((tmp_path / "bundle").iterdir())


def test_what_a_kill_left_is_replaced(tmp_path: Path) -> None:
    left = tmp_path / "bundle.unfinished"
    left.mkdir()
    (left / "class_means.f16").write_bytes(b"half")
    publish(bundle_contents(tmp_path), tmp_path / "bundle")
    Bundle.open(tmp_path / "bundle", embedder=EMBEDDER)
    assert not left.exists()


@pytest.mark.parametrize("size", [0, 49, 60, 150, 400])
def test_a_full_disk_leaves_nothing_half(tmp_path: Path, size: int) -> None:
    contents = bundle_contents(tmp_path)
    before = contents_of(tmp_path)
    with room_for(size), pytest.raises(OSError, match="too large"):
        publish(contents, tmp_path / "bundle")
    assert contents_of(tmp_path) == before
    assert not (tmp_path / "bundle").exists()
    assert not (tmp_path / "bundle.unfinished").exists()
    publish(contents, tmp_path / "bundle")


def test_contents_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    contents = bundle_contents(tmp_path)
    spoilt = contents.class_means.copy()
    spoilt[2, 1] = np.nan
    subnet = contents.subnets[0]
    wrong = {
        "index.faiss": replace(contents, class_means=spoilt),
        "class_map.json": replace(contents, subnets=contents.subnets[1:]),
        "manifest.json": replace(contents, subnets=[]),
    }
    for file, other in wrong.items():
        with pytest.raises(BundleInvalid, match=file):
            publish(other, tmp_path / "bundle")
    gone = Subnet(tmp_path / "gone", subnet.classes)
    with pytest.raises(FileNotFoundError, match="gone"):
        publish(replace(contents, subnets=[gone]), tmp_path / "bundle")
    with pytest.raises(ValueError, match="not JSON compliant"):
        publish(replace(contents, evaluation={"f1": float("nan")}), tmp_path / "bundle")
    assert not list(tmp_path.glob("bundle*"))
