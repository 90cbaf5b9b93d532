from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from app.bundles.files import BundleFiles
from models.bundle_format import BundleInvalid
from models.weights import DEFAULT_EMBEDDER
from models.zoo import EmbedderId, EmbedderManifest, read_manifest
from tests.app.bundles.made import make_results
from tests.app.populate import drawn_templates

SUBJECTS = [UUID(int=number) for number in range(1, 41)]
TEMPLATES = drawn_templates(len(SUBJECTS), 3, dimension=192, seed=5)


@pytest.fixture(scope="module")
def embedder() -> EmbedderManifest:
    return read_manifest(DEFAULT_EMBEDDER)


@pytest.fixture
def files(tmp_path: Path) -> BundleFiles:
    return BundleFiles(tmp_path / "bundles", subnet_memory_bytes=2**24, threads=1)


@pytest.fixture
def bundle_id(files: BundleFiles, tmp_path: Path, embedder: EmbedderManifest) -> str:
    """A bundle that was adopted."""
    made = make_results(tmp_path / "results", SUBJECTS, TEMPLATES, embedder=embedder)
    files.adopt(tmp_path / "results", made)
    return made


def test_an_adopted_bundle_is_there_with_its_report(
    files: BundleFiles, bundle_id: str, embedder: EmbedderManifest
) -> None:
    there = {path.name for path in files.place(bundle_id).iterdir()}
    assert there == {"bundle", "report.html", "retraining.json"}
    assert [path.name for path in files.folder.iterdir()] == [bundle_id]
    trained = files.open(bundle_id, embedder)
    assert trained.id == bundle_id
    assert trained.subnets.loaded_count == 2


def test_what_is_missing_is_not_adopted_by_halves(
    files: BundleFiles, tmp_path: Path, embedder: EmbedderManifest
) -> None:
    made = make_results(tmp_path / "results", SUBJECTS, TEMPLATES, embedder=embedder)
    (tmp_path / "results" / "report.html").unlink()
    with pytest.raises(FileNotFoundError):
        files.adopt(tmp_path / "results", made)
    assert not files.place(made).exists()
    files.delete(made)
    assert not list(files.folder.iterdir())


def test_the_same_bundle_again_stays_as_it_is(
    files: BundleFiles, bundle_id: str, tmp_path: Path, embedder: EmbedderManifest
) -> None:
    again = make_results(tmp_path / "again", SUBJECTS, TEMPLATES, embedder=embedder)
    assert again == bundle_id
    files.adopt(tmp_path / "again", again)
    assert files.open(bundle_id, embedder).id == bundle_id


def test_the_same_bundle_again_takes_the_place_of_a_damaged_one(
    files: BundleFiles, bundle_id: str, tmp_path: Path, embedder: EmbedderManifest
) -> None:
    flip_a_byte(files.bundle(bundle_id) / "class_means.f16")
    again = make_results(tmp_path / "again", SUBJECTS, TEMPLATES, embedder=embedder)
    files.adopt(tmp_path / "again", again)
    assert files.open(bundle_id, embedder).id == bundle_id
    assert [path.name for path in files.folder.iterdir()] == [bundle_id]


def test_it_tells_who_was_trained(files: BundleFiles, bundle_id: str) -> None:
    strangers = [UUID(int=0), UUID(int=2**127)]
    assert files.holds(bundle_id, [*SUBJECTS, *strangers]) == [True] * 40 + [False] * 2
    assert files.holds(bundle_id, []) == []
    with pytest.raises(BundleInvalid):
        files.holds("0" * 64, SUBJECTS)


def test_a_deleted_bundle_is_gone_and_may_be_deleted_again(
    files: BundleFiles, bundle_id: str, embedder: EmbedderManifest
) -> None:
    files.delete(bundle_id)
    files.delete(bundle_id)
    assert not list(files.folder.iterdir())
    with pytest.raises(BundleInvalid):
        files.open(bundle_id, embedder)


def test_a_bundle_that_was_set_aside_is_gone_and_its_files_go_when_it_is_deleted(
    files: BundleFiles, bundle_id: str
) -> None:
    files.set_aside(bundle_id)
    assert not files.place(bundle_id).exists()
    assert list(files.folder.rglob("index.faiss"))
    files.delete(bundle_id)
    assert not list(files.folder.iterdir())


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda bundle: flip_a_byte(bundle / "class_means.f16"),
        lambda bundle: flip_a_byte(bundle / "manifest.json"),
        lambda bundle: flip_a_byte(bundle / "subnets" / "001.onnx"),
        lambda bundle: (bundle / "index.faiss").unlink(),
        lambda bundle: (bundle / "more").touch(),
    ],
)
def test_a_damaged_bundle_is_not_opened(
    files: BundleFiles, bundle_id: str, embedder: EmbedderManifest, damage: Callable[[Path], None]
) -> None:
    damage(files.bundle(bundle_id))
    with pytest.raises(BundleInvalid):
        files.open(bundle_id, embedder)


def test_a_bundle_under_the_name_of_another_is_not_opened(
    files: BundleFiles, bundle_id: str, embedder: EmbedderManifest
) -> None:
    files.place(bundle_id).rename(files.place("0" * 64))
    with pytest.raises(BundleInvalid, match="another bundle"):
        files.open("0" * 64, embedder)


def test_a_bundle_of_another_embedder_is_not_opened(
    files: BundleFiles, bundle_id: str, embedder: EmbedderManifest
) -> None:
    with pytest.raises(BundleInvalid, match="was made for the embedder"):
        files.open(bundle_id, EmbedderId(embedder.name, "0" * 64))


def test_subjects_with_the_same_pictures_do_not_spoil_a_bundle(
    files: BundleFiles, tmp_path: Path, embedder: EmbedderManifest
) -> None:
    templates = TEMPLATES.copy()
    templates[:30] = templates[0]
    made = make_results(tmp_path / "results", SUBJECTS, templates, embedder=embedder)
    files.adopt(tmp_path / "results", made)
    assert files.open(made, embedder).id == made
