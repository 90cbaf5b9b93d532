"""The same tests on a local folder and on a real S3 server."""

import errno
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from app.bundles.store import BundleStore, StoreInvalid, StoreUnavailable
from models.bundle_format import BundleInvalid, BundleManifest
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest
from tests.app.bundles.made import make_results
from tests.app.bundles.stores import s3_server, use_s3
from tests.app.populate import drawn_templates

SUBJECTS = [UUID(int=number) for number in range(1, 11)]
TEMPLATES = drawn_templates(len(SUBJECTS), 2, dimension=192, seed=5)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(params=["folder", "s3"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> BundleStore:
    if request.param == "folder":
        return BundleStore.open(str(tmp_path / "store"), tmp_path.name)
    url = use_s3(request.getfixturevalue("endpoint"), monkeypatch)
    return BundleStore.open(url, tmp_path.name)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def bundle_id(results: Path) -> str:
    """A bundle that no store holds yet."""
    return make_results(results, SUBJECTS, TEMPLATES, embedder=read_manifest(DEFAULT_EMBEDDER))


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_is_put_is_fetched_byte_for_byte(
    store: BundleStore, results: Path, bundle_id: str, into: Path
) -> None:
    assert store.names() == set()
    store.put(results, bundle_id)
    store.put(results, bundle_id)
    assert store.names() == {bundle_id}
    store.fetch(bundle_id, into)
    nets = {name for name in contents(results) if name.startswith("net-")}
    assert contents(into) == {
        name: content for name, content in contents(results).items() if name not in nets
    }


def test_a_store_that_is_not_there_is_told_from_one_that_holds_nothing_any_more(
    store: BundleStore, results: Path, bundle_id: str
) -> None:
    with pytest.raises(StoreUnavailable):
        store.check_used()
    store.put(results, bundle_id)
    store.delete(bundle_id)
    assert store.names() == set()
    store.check_used()
    elsewhere = BundleStore(store.filesystem, f"{store.root}-not-mounted")
    assert elsewhere.names() == set()
    with pytest.raises(StoreUnavailable):
        elsewhere.check_used()


def test_what_is_deleted_is_gone_and_may_be_deleted_again(
    store: BundleStore, results: Path, bundle_id: str, into: Path
) -> None:
    store.put(results, bundle_id)
    store.delete(bundle_id)
    store.delete(bundle_id)
    assert store.names() == set()
    with pytest.raises(FileNotFoundError):
        store.fetch(bundle_id, into)


def test_a_bundle_of_which_the_manifest_is_still_to_come_is_not_there(
    store: BundleStore, results: Path, bundle_id: str, into: Path
) -> None:
    store.put(results, bundle_id)
    store.filesystem.rm_file(store._manifest(bundle_id))
    assert store.names() == {bundle_id}  # for whoever clears up
    with pytest.raises(FileNotFoundError):
        store.fetch(bundle_id, into)
    store.delete(bundle_id)
    assert store.names() == set()


@pytest.mark.parametrize("missing", ["report.html", "bundle/manifest.json"])
def test_a_bundle_of_which_a_part_is_missing_is_not_put(
    store: BundleStore, results: Path, bundle_id: str, missing: str
) -> None:
    (results / missing).unlink()
    with pytest.raises(FileNotFoundError):
        store.put(results, bundle_id)
    assert store.names() == set()


@pytest.mark.parametrize("damaged", ["bundle/class_means.f16", "bundle/manifest.json"])
def test_a_damaged_bundle_is_not_taken(
    store: BundleStore, results: Path, bundle_id: str, into: Path, damaged: str
) -> None:
    store.put(results, bundle_id)
    content = (results / damaged).read_bytes()
    store.filesystem.pipe_file(store._at(bundle_id, damaged), b"0" * len(content))
    with pytest.raises(BundleInvalid):
        store.fetch(bundle_id, into)


def test_one_bundle_under_the_name_of_another_is_not_taken(
    store: BundleStore, results: Path, bundle_id: str, into: Path
) -> None:
    store.put(results, "0" * 64)
    with pytest.raises(BundleInvalid, match="another bundle"):
        store.fetch("0" * 64, into)


def test_deployments_that_share_a_store_do_not_see_each_other(
    store: BundleStore, results: Path, bundle_id: str
) -> None:
    store.put(results, bundle_id)
    other = BundleStore(store.filesystem, f"{store.root}-other")
    assert other.names() == set()
    other.delete(bundle_id)
    assert store.names() == {bundle_id}


def test_a_full_disk_is_told_of(
    store: BundleStore, results: Path, bundle_id: str, into: Path
) -> None:
    store.put(results, bundle_id)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            store.fetch(bundle_id, into)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno == errno.EFBIG


def test_a_bundle_for_which_there_is_no_room_is_not_begun(
    store: BundleStore, results: Path, bundle_id: str, into: Path
) -> None:
    manifest = BundleManifest.read(results / "bundle" / "manifest.json")
    files = dict(manifest.files)
    files["index.faiss"] = replace(files["index.faiss"], size=2**60)
    huge = replace(manifest, files=files)
    (results / "bundle" / "manifest.json").write_bytes(huge.to_bytes())
    store.put(results, huge.id)
    with pytest.raises(OSError, match="has no room") as raised:
        store.fetch(huge.id, into)
    assert raised.value.errno == errno.ENOSPC
    assert set(contents(into)) == {"bundle/manifest.json"}


def test_a_server_that_is_away(
    results: Path, bundle_id: str, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as endpoint:
        store = BundleStore.open(use_s3(endpoint, monkeypatch), "ours")
        store.put(results, bundle_id)
    for call in (
        store.names,
        lambda: store.put(results, bundle_id),
        lambda: store.fetch(bundle_id, into),
        lambda: store.delete(bundle_id),
    ):
        with pytest.raises(StoreUnavailable, match="can't be used"):
            call()


def test_a_url_that_nothing_knows() -> None:
    with pytest.raises(StoreInvalid, match="knows no such URL") as raised:
        BundleStore.open("nowhere://user:secret@bucket", "ours")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [("s3://bucket", "cohort[s3]"), ("abfs://container", "install it beside cohort")],
)
def test_a_missing_package_is_named(url: str, said: str) -> None:
    code = (
        "import sys\n"
        "sys.modules['s3fs'] = sys.modules['adlfs'] = None\n"
        "from app.bundles.store import BundleStore, StoreInvalid\n"
        "BundleStore.open('/tmp', 'ours')\n"
        "try:\n"
        f"    BundleStore.open({url!r}, 'ours')\n"
        "except StoreInvalid as error:\n"
        "    print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said in told.stdout


def test_nothing_of_s3_is_imported_for_a_folder() -> None:
    code = (
        "import sys\n"
        "from app.bundles.store import BundleStore\n"
        "BundleStore.open('file:///tmp', 'ours')\n"
        "sys.exit('s3fs' in sys.modules or 'botocore' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
