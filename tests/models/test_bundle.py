import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from models import bundle_files
from models.bundle import Bundle, find_rows, read_subject_ids
from models.bundle_format import BundleInvalid, BundleManifest, FileEntry, file_names
from models.router import EXACT_UP_TO, ClassMeanIndex
from tests.training.bundles import (
    CLASSES,
    DIMENSION,
    ROWS,
    SUBNET_CLASSES,
    bundle_contents,
    subnet_weights,
)
from tests.training.small_stores import EMBEDDER, unit_rows
from training.publish import BundleContents, Subnet, publish
from training.stores.format import EmbedderIdentity
from training.subnets.export import export_subnet

FILES = [*file_names(len(SUBNET_CLASSES)), "manifest.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    publish(bundle_contents(tmp_path), tmp_path / "bundle")
    return tmp_path / "bundle"


def is_mapped(array: NDArray[Any]) -> bool:
    """Whether an array is a view of a memory map."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return isinstance(base, np.memmap)


def refused(folder: Path, file: str, what: str = "") -> None:
    with pytest.raises(BundleInvalid, match=rf"/{file}: .*{what}"):
        Bundle.open(folder, embedder=EMBEDDER)


def vouch(folder: Path, **changes: Any) -> None:
    """Write a manifest that fits the files as they are now: as a faulty writer would."""
    manifest = BundleManifest.read(folder / "manifest.json")
    files = {name: FileEntry.of(folder / name) for name in manifest.files}
    changed = replace(manifest, **({"files": files} | changes))
    (folder / "manifest.json").write_bytes(changed.to_bytes())


def test_what_was_published_is_read_with_subjects_in_order(folder: Path) -> None:
    contents = bundle_contents(folder.parent)
    bundle = Bundle.open(folder, embedder=EMBEDDER)
    assert [bundle.id_of(row) for row in ROWS] == list(contents.subject_ids)
    np.testing.assert_array_equal(bundle.class_means[ROWS], contents.class_means.astype(np.float16))
    np.testing.assert_array_equal(bundle.imprinted[ROWS], contents.imprinted)
    assert bundle.cluster_count == len(SUBNET_CLASSES)
    for number, classes in enumerate(SUBNET_CLASSES):
        assert bundle.subnet_classes(number).tolist() == [ROWS[each] for each in classes]
        weights = np.fromfile(bundle.subnet_file(number).with_suffix(".weights"), "<f4")
        np.testing.assert_allclose(
            weights.reshape(-1, DIMENSION), subnet_weights(number), atol=1e-6
        )
    assert bundle.calibration == contents.calibration
    assert bundle.manifest.evaluation == contents.evaluation
    assert (bundle.manifest.seed, bundle.manifest.watermark) == (11, 42)
    assert bundle.manifest.collection == contents.collection
    assert not bundle.manifest.synthetic
    assert bundle.manifest.counts == {"classes": CLASSES, "subnets": len(SUBNET_CLASSES)}
    assert bundle.manifest.index == {"kind": "exact", "candidates": 300, "rank1_loss": 0.0}


def test_each_class_knows_its_subnets_and_its_outputs(folder: Path) -> None:
    bundle = Bundle.open(folder, embedder=EMBEDDER)
    for label, row in enumerate(ROWS):
        expected = [
            (number, classes.index(label))
            for number, classes in enumerate(SUBNET_CLASSES)
            if label in classes
        ]
        own = slice(bundle.class_offsets[row], bundle.class_offsets[row + 1])
        columns = bundle.class_columns[own].tolist()
        assert list(zip(bundle.clusters_of(row).tolist(), columns, strict=True)) == expected


def test_subjects_are_looked_up(folder: Path) -> None:
    bundle = Bundle.open(folder, embedder=EMBEDDER)
    wanted = ["zo\xeb", "nobody", "subject-1", "subject-1", "", "a", "zz", "subject-11", "zoe"]
    assert bundle.rows_of(wanted).tolist() == [6, -1, 0, 0, -1, -1, -1, -1, -1]
    nobody: list[str] = []
    assert bundle.rows_of(nobody).shape == (0,)
    # Longer than any, and one that numpy's fixed width would take for the other.
    assert bundle.rows_of(["subject-1" * 9, "subject-1\0"]).tolist() == [-1, -1]


def test_who_is_in_a_bundle_can_be_read_without_opening_it(folder: Path, tmp_path: Path) -> None:
    ids = read_subject_ids(folder)
    assert is_mapped(ids)
    assert find_rows(ids, ["subject-3", "nobody"]).tolist() == [2, -1]
    with pytest.raises(BundleInvalid, match=r"subject_ids\.npy: is missing"):
        read_subject_ids(tmp_path / "nothing")
    np.save(folder / "subject_ids.npy", np.arange(3))
    with pytest.raises(BundleInvalid, match=r"subject_ids\.npy: is not a list of ids"):
        read_subject_ids(folder)


def test_the_index_finds_each_class_mean(folder: Path) -> None:
    bundle = Bundle.open(folder, embedder=EMBEDDER)
    probes = bundle.class_means.astype(np.float32)
    np.testing.assert_array_equal(bundle.index.search(probes, 1).rows[:, 0], np.arange(CLASSES))


def test_class_means_are_mapped_and_cannot_be_written_to(folder: Path) -> None:
    means = Bundle.open(folder, embedder=EMBEDDER).class_means
    assert is_mapped(means)
    with pytest.raises(ValueError, match="read-only"):
        means[0, 0] = 1


@pytest.mark.parametrize("file", FILES)
def test_any_byte_that_was_changed_is_found(folder: Path, file: str) -> None:
    path = folder / file
    whole = path.read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 100)):
        changed = bytearray(whole)
        changed[position] ^= 1
        path.write_bytes(changed)
        refused(folder, file)
    for other in (whole[:-1], whole + b" "):
        path.write_bytes(other)
        refused(folder, file)
    path.write_bytes(whole)
    Bundle.open(folder, embedder=EMBEDDER)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).rename(folder.parent / "elsewhere")
    refused(folder, file, "is missing")
    (folder / file).mkdir()
    refused(folder, file)


@pytest.mark.parametrize(
    "file", ["notes.txt", "subnets/003.onnx", "subnets/000.onnx.part", "class_map.json"]
)
def test_an_extra_file_is_named(folder: Path, file: str) -> None:
    (folder / file).write_bytes(b"")
    refused(folder, file, "does not belong")


def test_an_extra_folder_and_a_link_are_named(folder: Path) -> None:
    (folder / "more").mkdir()
    refused(folder, "more", "does not belong")
    (folder / "more").rmdir()
    moved = (folder / "class_means.f16").rename(folder.parent / "elsewhere")
    (folder / "class_means.f16").symlink_to(moved)
    refused(folder, "class_means.f16", "not a plain file")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "nothing/manifest.json", "is missing")


def test_another_embedder_is_refused(folder: Path) -> None:
    for other in (EmbedderIdentity("other", EMBEDDER.sha256), EmbedderIdentity("linear-7", "cd")):
        with pytest.raises(BundleInvalid, match=r"manifest\.json: was made for .* linear-7"):
            Bundle.open(folder, embedder=other)


def test_a_bundle_may_come_from_no_gallery(folder: Path) -> None:
    before = Bundle.open(folder, embedder=EMBEDDER).id
    vouch(folder, watermark=None, collection=None)
    bundle = Bundle.open(folder, embedder=EMBEDDER)
    assert (bundle.manifest.watermark, bundle.manifest.collection) == (None, None)
    assert bundle.id != before


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"format": 1}, "format 1, which is no longer read: publish"),
        ({"format": 3}, "of format 2"),
        ({"more": 1}, "'more'"),
        ({"embedder": "linear-7"}, "'embedder'"),
        ({"dimension": 0}, "'dimension'"),
        ({"seed": "11"}, "'seed'"),
        ({"synthetic": 0}, "'synthetic'"),
        ({"watermark": 1.5}, "'watermark'"),
        ({"collection": 5}, "'collection'"),
        ({"index": {"kind": "exact", "candidates": 300}}, "'index'"),
        ({"index": {"kind": "exact", "candidates": 0, "rank1_loss": 0.0}}, "'index'"),
        ({"counts": {"classes": 0, "subnets": 3}}, "'counts'"),
        ({"evaluation": []}, "'evaluation'"),
        ({"files": {"class_means.f16": 3}}, "'files'"),
        ({"seed": 12}, "was changed"),
    ],
)
def test_a_wrong_manifest_is_refused(folder: Path, change: dict[str, Any], what: str) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change))
    refused(folder, "manifest.json", what)


def test_a_manifest_must_name_the_files_of_a_bundle(folder: Path) -> None:
    manifest = BundleManifest.read(folder / "manifest.json")
    vouch(folder, files=dict(manifest.files) | {"../outside": FileEntry("ab", 1)})
    refused(folder, "manifest.json", "'files'")


@pytest.mark.parametrize("text", [b"{\xff", b"[]", b"", b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_refused(folder: Path, text: bytes) -> None:
    (folder / "manifest.json").write_bytes(text)
    refused(folder, "manifest.json", "JSON")


def change_array(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Put another array in the place of one, as a faulty writer would."""
    np.save(folder / name, change(np.load(folder / name)))
    vouch(folder)


def changed_at(place: int, value: Any) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array[place] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        ("subject_ids.npy", lambda ids: ids[:-1], "6 ids of 7"),
        ("subject_ids.npy", lambda ids: ids[::-1], "do not ascend"),
        ("subject_ids.npy", changed_at(1, b"subject-1"), "do not ascend"),
        ("subject_ids.npy", changed_at(0, b""), "do not ascend"),
        ("subject_ids.npy", lambda _: np.arange(7), "is not a list of ids"),
        ("subject_ids.npy", lambda ids: ids[:, None], "is not a list of ids"),
        ("imprinted.npy", lambda flags: flags[1:], "not a list of 7 values of type bool"),
        ("imprinted.npy", lambda flags: flags.astype(int), "not a list of 7 values of type bool"),
        ("subnet_rows.npy", lambda rows: rows.astype(float), "values of type int32"),
        ("subnet_rows.npy", changed_at(0, 7), "rows outside 0 to 6"),
        ("subnet_rows.npy", changed_at(0, -1), "rows outside 0 to 6"),
        ("subnet_rows.npy", changed_at(3, 0), "no subnet knows subject 'subject-6'"),
        ("subnet_rows.npy", changed_at(8, 2), "subnet 2 must have each class once"),
        ("subnet_offsets.npy", lambda bounds: bounds[:-1], "list of 4 values of type int64"),
        ("subnet_offsets.npy", changed_at(0, 1), "does not bound"),
        ("subnet_offsets.npy", changed_at(3, 8), "does not bound"),
        ("subnet_offsets.npy", changed_at(1, 7), "does not bound"),
    ],
)
def test_a_wrong_array_is_refused(
    folder: Path, name: str, change: Callable[[Any], Any], what: str
) -> None:
    change_array(folder, name, change)
    refused(folder, name, what)


@pytest.mark.parametrize(
    "name", ["subject_ids.npy", "subnet_rows.npy", "subnet_offsets.npy", "imprinted.npy"]
)
@pytest.mark.parametrize("text", [b"", b"something else", b"\x93NUMPY\x01\x00\x76\x00{"])
def test_what_is_no_array_is_refused(folder: Path, name: str, text: bytes) -> None:
    (folder / name).write_bytes(text)
    vouch(folder)
    refused(folder, name, "is not an array")


def test_weights_of_another_size_are_refused(folder: Path) -> None:
    change_array(folder, "subnet_offsets.npy", changed_at(1, 3))
    refused(folder, "subnets/000.weights", "does not hold the weights of 3 classes of 4 values")


def test_class_means_that_do_not_fit_are_refused(folder: Path) -> None:
    path = folder / "class_means.f16"
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    vouch(folder)
    refused(folder, "class_means.f16", "does not hold 7 class means of 4")
    path.write_bytes(whole[2:] + whole[:2])
    vouch(folder)
    refused(folder, "index.faiss", "not those of class_means")
    for value in (np.inf, -np.inf, np.nan):
        path.write_bytes(whole[:-2] + np.float16(value).tobytes())
        vouch(folder)
        refused(folder, "class_means.f16", "not finite")


def write_index(folder: Path, index: Any) -> None:
    faiss.write_index(index, str(folder / "index.faiss"))
    vouch(folder)


def test_another_index_is_refused(folder: Path) -> None:
    means = np.eye(CLASSES, 4, dtype=np.float32)
    euclidean = faiss.IndexFlatL2(4)
    euclidean.add(means)
    others = [
        euclidean,
        ClassMeanIndex.build(means[:-1]).index,
        ClassMeanIndex.build(np.eye(CLASSES, 5, dtype=np.float32)).index,
    ]
    for index in others:
        write_index(folder, index)
        refused(folder, "index.faiss", "not an index of kind exact over 7")
    path = folder / "index.faiss"
    path.write_bytes(b"something else")
    vouch(folder)
    refused(folder, "index.faiss", "is not an index")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BundleContents]:
    """A bundle of so many classes that its index holds codes."""
    folder = tmp_path_factory.mktemp("large")
    classes, small = EXACT_UP_TO + 1, bundle_contents(folder)
    contents = replace(
        small,
        subject_ids=np.array([f"{number:06}".encode() for number in range(classes)]),
        class_means=unit_rows(np.random.default_rng(0), classes, 32),
        imprinted=np.zeros(classes, np.bool_),
    )
    net = folder / "net"
    net.write_bytes(export_subnet(contents.class_means))
    contents = replace(contents, subnets=[Subnet(net, np.arange(classes, dtype=np.int32))])
    publish(contents, folder / "bundle")
    return folder / "bundle", contents


def test_a_large_bundle_has_an_index_of_codes(large: tuple[Path, BundleContents]) -> None:
    folder, contents = large
    bundle = Bundle.open(folder, embedder=EMBEDDER)
    assert bundle.index.kind == bundle.manifest.index["kind"] == "pq"
    assert bundle.index.means is bundle.class_means
    rows = np.arange(0, len(bundle.class_means), 99)
    probes = np.asarray(contents.class_means[rows], np.float32)
    np.testing.assert_array_equal(bundle.index.search(probes, 1).rows[:, 0], rows)


def test_an_index_of_other_codes_is_refused(
    large: tuple[Path, BundleContents], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(large[0], tmp_path / "bundle"))
    means = np.asarray(large[1].class_means, np.float32)
    write_index(folder, ClassMeanIndex.build(np.roll(means, 1000, axis=0), kind="pq").index)
    refused(folder, "index.faiss", "not those of class_means")
    write_index(folder, ClassMeanIndex.build(means, kind="exact").index)
    refused(folder, "index.faiss", "not an index of kind pq")


def test_files_are_looked_at_in_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (1, 2, 3, 6, 7):
        monkeypatch.setattr(bundle_files, "BLOCK_ROWS", size)
        Bundle.open(folder, embedder=EMBEDDER)
    whole = np.load(folder / "subject_ids.npy")
    for place in range(CLASSES - 1):
        swapped = whole.copy()
        swapped[[place, place + 1]] = swapped[[place + 1, place]]
        np.save(folder / "subject_ids.npy", swapped)
        vouch(folder)
        for size in (1, 2, 3, 6, 7):
            monkeypatch.setattr(bundle_files, "BLOCK_ROWS", size)
            refused(folder, "subject_ids.npy", "do not ascend")
