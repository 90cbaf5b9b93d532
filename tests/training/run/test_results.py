import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle
from models.bundle_format import BundleInvalid
from tests.training.run.jobs import ignore, job_of, put_results
from tests.training.small_stores import EMBEDDER
from training.clusters.class_means import class_means
from training.embedding.gallery import GALLERY
from training.run.clustering import Clusters, read_class_means
from training.run.job import Job
from training.run.results import make_bundle, make_report
from training.run.stages import BY_NAME, carry_out
from training.subnets.export import export_subnet

EVALUATION = {
    "synthetic": False,
    "embedder": {"name": EMBEDDER.name, "sha256": EMBEDDER.sha256},
    "seed": 0,
    "repetitions": 2,
    "summary": {"recall": 0.97},
}


def job_before_publish(path: Path) -> Job:
    """All that a bundle is made of; its nets hold the class means, untrained."""
    job = job_of(path)
    for name in ("class-means", "cluster"):
        carry_out(job, BY_NAME[name], ignore)
    job.folder.subnets.mkdir()
    placement = Clusters.read(job.folder.clusters).placement
    means = read_class_means(job)
    for number in range(placement.cluster_count):
        net = export_subnet(means[placement.classes_in(number)])
        (job.folder.subnets / f"subnet-{number:06}.onnx").write_bytes(net)
    put_results(job, calibration={"weights": [0, 1, 0]}, evaluation=EVALUATION)
    return job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return job_before_publish(tmp_path / "run")


def contents(folder: Path) -> Mapping[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_bundle_holds_what_the_stages_made(job: Job) -> None:
    made = make_bundle(job, ignore)
    bundle = Bundle.open(job.folder.bundle, embedder=EMBEDDER)
    assert made.note == f"{job.folder.bundle}, id {bundle.id}"
    assert set(made.outputs) == {path for path in job.folder.bundle.rglob("*") if path.is_file()}
    order = np.argsort(job.store.subject_ids)
    assert [bundle.id_of(row) for row in range(len(order))] == np.array(job.store.subject_ids)[
        order
    ].tolist()
    assert not bundle.imprinted.any()
    assert bundle.calibration == {"weights": [0, 1, 0]}
    assert bundle.manifest.evaluation == {"recall": 0.97}
    placement = Clusters.read(job.folder.clusters).placement
    for number in range(bundle.cluster_count):
        classes = placement.classes_in(number)
        assert order[bundle.subnet_classes(number)].tolist() == classes.tolist()
        weights = np.fromfile(bundle.subnet_file(number).with_suffix(".weights"), "<f4")
        means = read_class_means(job)[classes]
        np.testing.assert_allclose(weights.reshape(means.shape), means, atol=1e-6)


def test_class_means_are_of_all_pictures_and_not_only_of_those_trained_on(job: Job) -> None:
    make_bundle(job, ignore)
    bundle = Bundle.open(job.folder.bundle, embedder=EMBEDDER)
    order = np.argsort(job.store.subject_ids)
    expected = class_means(job.store)[order].astype(np.float16)
    np.testing.assert_array_equal(bundle.class_means, expected)
    assert not np.allclose(bundle.class_means, read_class_means(job)[order], atol=1e-3)


def test_the_bundle_names_the_collection_that_it_was_made_from(job: Job) -> None:
    record = {"collection": "staff", "collection_id": "1111-22", "watermark": 41}
    job.folder.store.with_name(GALLERY).write_text(json.dumps(record))
    make_bundle(job, ignore)
    manifest = Bundle.open(job.folder.bundle, embedder=EMBEDDER).manifest
    assert (manifest.collection, manifest.watermark) == ("1111-22", 41)


def test_where_it_is_made_does_not_matter(job: Job, tmp_path: Path) -> None:
    other = job_before_publish(tmp_path / "deep" / "er" / "run")
    assert make_bundle(job, ignore).note.split()[-1] == make_bundle(other, ignore).note.split()[-1]


def test_a_bundle_is_replaced_once_the_new_one_is_verified(job: Job) -> None:
    make_bundle(job, ignore)
    before = contents(job.folder.bundle)
    net = job.folder.subnets / "subnet-000000.onnx"
    whole = net.read_bytes()
    net.write_bytes(whole[:-20])
    with pytest.raises(BundleInvalid, match=r"subnet-000000\.onnx"):
        make_bundle(job, ignore)
    assert contents(job.folder.bundle) == before

    net.write_bytes(whole)
    put_results(job, calibration={"weights": [0, 0, 1]}, evaluation=EVALUATION)
    make_bundle(job, ignore)
    bundle = Bundle.open(job.folder.bundle, embedder=EMBEDDER)
    assert bundle.calibration == {"weights": [0, 0, 1]}
    assert [path.name for path in job.folder.path.glob("bundle*")] == ["bundle"]


@pytest.mark.parametrize(
    "left",
    [
        ["bundle", "bundle.new"],
        ["bundle.old", "bundle.new"],
        ["bundle.old", "bundle"],
        ["bundle.new.unfinished"],
    ],
)
def test_what_a_kill_left_is_cleared(job: Job, left: list[str]) -> None:
    make_bundle(job, ignore)
    before = contents(job.folder.bundle)
    for name in left:
        if not (there := job.folder.path / name).exists():
            there.mkdir()
            (there / "manifest.json").touch()
    if "bundle" not in left and "bundle.old" in left:
        (job.folder.path / "bundle.old" / "manifest.json").unlink()
        (job.folder.path / "bundle.old").rmdir()
        job.folder.bundle.rename(job.folder.path / "bundle.old")
    make_bundle(job, ignore)
    assert contents(job.folder.bundle) == before
    assert [path.name for path in job.folder.path.glob("bundle*")] == ["bundle"]


def test_the_old_bundle_is_back_when_a_kill_came_between_and_nothing_else_works(job: Job) -> None:
    make_bundle(job, ignore)
    before = contents(job.folder.bundle)
    job.folder.bundle.rename(job.folder.path / "bundle.old")
    (job.folder.subnets / "subnet-000001.onnx").unlink()
    with pytest.raises(FileNotFoundError):
        make_bundle(job, ignore)
    assert contents(job.folder.bundle) == before


@pytest.mark.torch
@pytest.mark.slow
def test_the_report_knows_the_clusters_and_what_was_skipped(job: Job) -> None:
    (job.folder.path / "embed-skipped.csv").write_text("picture,reason\na/0.jpg,no_face\n")
    made = make_report(job, ignore)
    assert made.outputs[0] == job.folder.report
    assert all(path.is_file() for path in made.outputs)
    page = job.folder.report.read_text()
    assert "Where most of its samples are" in page
    assert "No face" in page
