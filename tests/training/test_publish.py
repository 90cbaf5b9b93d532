import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest

from models import router
from models.bundle import Bundle
from models.bundle_format import BundleInvalid
from tests.training.bundles import bundle_contents
from tests.training.small_stores import EMBEDDER, unit_rows
from training import index_loss
from training import publish as module
from training.publish import Subnet, publish
from training.subnets.export import export_subnet


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


def test_neither_order_nor_type_of_the_contents_matters(tmp_path: Path) -> None:
    contents = bundle_contents(tmp_path)
    expected = publish(contents, tmp_path / "one")
    order = np.random.default_rng(0).permutation(len(contents.subject_ids))
    places = np.argsort(order).astype(np.int32)
    other = replace(
        contents,
        subject_ids=np.array([contents.subject_ids[each].encode() for each in order]),
        class_means=contents.class_means[order].astype(np.float16),
        imprinted=contents.imprinted[order],
        subnets=[Subnet(each.file, places[each.classes]) for each in contents.subnets],
    )
    assert publish(other, tmp_path / "two") == expected
    assert contents_of(tmp_path / "one") == contents_of(tmp_path / "two")


def test_class_means_are_written_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = bundle_contents(tmp_path)
    expected = publish(contents, tmp_path / "one")
    for size in (1, 3):
        monkeypatch.setattr(module, "BLOCK_ROWS", size)
        assert publish(contents, tmp_path / f"in-{size}") == expected


def test_the_number_of_threads_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router, "EXACT_UP_TO", 3_000)
    classes, contents = 4_000, bundle_contents(tmp_path)
    means = unit_rows(np.random.default_rng(0), classes, 64)
    (tmp_path / "net").write_bytes(export_subnet(means))
    contents = replace(
        contents,
        subject_ids=[f"{number:06}" for number in range(classes)],
        class_means=means,
        imprinted=np.zeros(classes, np.bool_),
        subnets=[Subnet(tmp_path / "net", np.arange(classes, dtype=np.int32))],
    )
    before, ids = faiss.omp_get_max_threads(), set()
    try:
        for threads in (1, 3, 4):
            faiss.omp_set_num_threads(threads)
            ids.add(publish(contents, tmp_path / f"by-{threads}"))
            assert faiss.omp_get_max_threads() == threads
    finally:
        faiss.omp_set_num_threads(before)
    assert len(ids) == 1
    assert Bundle.open(tmp_path / "by-1", embedder=EMBEDDER).index.kind == "pq"

    monkeypatch.setattr(router, "CANDIDATES", 1)
    monkeypatch.setattr(index_loss, "HARD_COSINE", 0.5)
    with pytest.raises(index_loss.IndexLossy, match=r"0\.1% is the limit"):
        publish(contents, tmp_path / "lossy")
    assert not list(tmp_path.glob("lossy*"))


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
        "class_means.f16": replace(contents, class_means=spoilt),
        "subject_ids.npy": replace(
            contents, subject_ids=["twice", *contents.subject_ids[1:-1], "twice"]
        ),
        "subnet_rows.npy": replace(contents, subnets=contents.subnets[1:]),
        "manifest.json": replace(contents, subnets=[]),
    }
    for file, other in wrong.items():
        with pytest.raises(BundleInvalid, match=file):
            publish(other, tmp_path / "bundle")
    spoilt[2, 1] = 1e9
    with pytest.raises(BundleInvalid, match=r"class_means\.f16: has values that are not finite"):
        publish(replace(contents, class_means=spoilt), tmp_path / "bundle")
    (tmp_path / "no-net").write_bytes(b"no net")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("no-net", "empty"):
        broken = Subnet(tmp_path / name, subnet.classes)
        with pytest.raises(BundleInvalid, match=f"{name}: it is no subnet's net"):
            publish(replace(contents, subnets=[broken]), tmp_path / "bundle")
    swapped = [contents.subnets[0], Subnet(contents.subnets[2].file, contents.subnets[1].classes)]
    with pytest.raises(BundleInvalid, match=r"001\.weights: does not hold the weights of 3"):
        publish(replace(contents, subnets=swapped), tmp_path / "bundle")
    gone = Subnet(tmp_path / "gone", subnet.classes)
    with pytest.raises(FileNotFoundError, match="gone"):
        publish(replace(contents, subnets=[gone]), tmp_path / "bundle")
    with pytest.raises(ValueError, match="not JSON compliant"):
        publish(replace(contents, evaluation={"f1": float("nan")}), tmp_path / "bundle")
    assert not list(tmp_path.glob("bundle*"))
