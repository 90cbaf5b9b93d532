import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from models.bundle import Bundle
from models.bundle_format import BundleInvalid, BundleManifest, FileEntry, file_names
from models.router import class_mean_index, route
from tests.training.bundles import CLASSES, SUBNET_CLASSES, bundle_contents
from tests.training.small_stores import EMBEDDER
from training.publish import publish
from training.stores.format import EmbedderIdentity

FILES = [*file_names(len(SUBNET_CLASSES)), "manifest.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    publish(bundle_contents(tmp_path), tmp_path / "bundle")
    return tmp_path / "bundle"


def refused(folder: Path, file: str, what: str = "") -> None:
    with pytest.raises(BundleInvalid, match=rf"/{file}: .*{what}"):
        Bundle.open(folder, embedder=EMBEDDER)


def vouch(folder: Path, **changes: Any) -> None:
    """Write a manifest that fits the files as they are now: as a faulty writer would."""
    manifest = BundleManifest.read(folder / "manifest.json")
    files = {name: FileEntry.of(folder / name) for name in manifest.files}
    changed = replace(manifest, **({"files": files} | changes))
    (folder / "manifest.json").write_bytes(changed.to_bytes())


def test_what_was_published_is_read(folder: Path) -> None:
    contents = bundle_contents(folder.parent)
    bundle = Bundle.open(folder, embedder=EMBEDDER)
    assert bundle.subject_ids == tuple(contents.subject_ids)
    np.testing.assert_array_equal(bundle.class_means, contents.class_means.astype(np.float16))
    assert [rows.tolist() for rows in bundle.subnet_classes] == SUBNET_CLASSES
    for row in range(CLASSES):
        expected = [number for number, rows in enumerate(SUBNET_CLASSES) if row in rows]
        assert bundle.clusters_of(row).tolist() == expected
    for number, subnet in enumerate(contents.subnets):
        assert bundle.subnet_file(number).read_bytes() == subnet.file.read_bytes()
    assert bundle.calibration == contents.calibration
    assert bundle.manifest.evaluation == contents.evaluation
    assert (bundle.manifest.seed, bundle.manifest.watermark) == (11, 42)
    assert not bundle.manifest.synthetic
    assert bundle.manifest.counts == {"classes": CLASSES, "subnets": len(SUBNET_CLASSES)}


def test_the_index_finds_each_class_mean(folder: Path) -> None:
    bundle = Bundle.open(folder, embedder=EMBEDDER)
    probes = bundle.class_means.astype(np.float32)
    np.testing.assert_array_equal(route(bundle.index, probes, 1).rows[:, 0], np.arange(CLASSES))


def test_class_means_are_mapped_and_cannot_be_written_to(folder: Path) -> None:
    means = Bundle.open(folder, embedder=EMBEDDER).class_means
    assert isinstance(means, np.memmap)
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


@pytest.mark.parametrize("file", ["notes.txt", "subnets/003.onnx", "subnets/000.onnx.part"])
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
    vouch(folder, watermark=None)
    bundle = Bundle.open(folder, embedder=EMBEDDER)
    assert bundle.manifest.watermark is None
    assert bundle.id != before


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"format": 2}, "of format 1"),
        ({"more": 1}, "'more'"),
        ({"embedder": "linear-7"}, "'embedder'"),
        ({"dimension": 0}, "'dimension'"),
        ({"seed": "11"}, "'seed'"),
        ({"synthetic": 0}, "'synthetic'"),
        ({"watermark": 1.5}, "'watermark'"),
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


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda ids, rows: ([*ids[:-1], ids[0]], rows), "each once"),
        (lambda ids, rows: (ids[:-1], rows), "each once"),
        (lambda ids, rows: (["", *ids[1:]], rows), "list of ids"),
        (lambda ids, rows: (ids, rows[:-1]), "one list a subnet"),
        (lambda ids, rows: (ids, [*rows[:-1], []]), "subnet 2"),
        (lambda ids, rows: (ids, [*rows[:-1], [7]]), "subnet 2"),
        (lambda ids, rows: (ids, [*rows[:-1], [-1]]), "subnet 2"),
        (lambda ids, rows: (ids, [*rows[:-1], [True]]), "subnet 2"),
        (lambda ids, rows: (ids, [*rows[:-1], [3, 3]]), "subnet 2"),
        (lambda ids, rows: (ids, [[0, 2, 4], *rows[1:]]), "no subnet knows subject 'subject-6'"),
    ],
)
def test_a_wrong_class_map_is_refused(
    folder: Path, change: Callable[[list[str], list[list[int]]], tuple[Any, Any]], what: str
) -> None:
    path = folder / "class_map.json"
    document = json.loads(path.read_bytes())
    ids, rows = change(document["subject_ids"], document["subnet_classes"])
    path.write_text(json.dumps({"subject_ids": ids, "subnet_classes": rows}))
    vouch(folder)
    refused(folder, "class_map.json", what)


def test_class_means_that_do_not_fit_are_refused(folder: Path) -> None:
    path = folder / "class_means.f16"
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    vouch(folder)
    refused(folder, "class_means.f16", "does not hold 7 class means of 4")
    path.write_bytes(whole[2:] + whole[:2])
    vouch(folder)
    refused(folder, "index.faiss", "not those of class_means")


def test_another_index_is_refused(folder: Path) -> None:
    path, means = folder / "index.faiss", np.eye(CLASSES, 4, dtype=np.float32)
    euclidean = faiss.IndexFlatL2(4)
    euclidean.add(means)
    for index in (euclidean, class_mean_index(means[:-1])):
        faiss.write_index(index, str(path))
        vouch(folder)
        refused(folder, "index.faiss", "not an exact index of 7")
    path.write_bytes(b"something else")
    vouch(folder)
    refused(folder, "index.faiss", "is not an index")
