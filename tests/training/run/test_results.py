from collections.abc import Mapping
from pathlib import Path

import pytest

from models.bundle import Bundle
from models.bundle_format import BundleInvalid
from tests.training.run.jobs import ignore, job_of, put_results
from tests.training.small_stores import EMBEDDER
from training.run.clustering import Clusters
from training.run.job import Job
from training.run.results import make_bundle, make_report
from training.run.stages import BY_NAME, carry_out

EVALUATION = {
    "synthetic": False,
    "embedder": {"name": EMBEDDER.name, "sha256": EMBEDDER.sha256},
    "seed": 0,
    "repetitions": 2,
    "summary": {"recall": 0.97},
}


def job_before_publish(path: Path) -> Job:
    """All that a bundle is made of; its nets are a few bytes, into which a bundle does not look."""
    job = job_of(path)
    for name in ("class-means", "cluster"):
        carry_out(job, BY_NAME[name], ignore)
    job.folder.subnets.mkdir()
    for number in range(Clusters.read(job.folder.clusters).placement.cluster_count):
        (job.folder.subnets / f"subnet-{number:06}.onnx").write_bytes(bytes([number]) * 50)
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
    assert bundle.subject_ids == job.store.subject_ids
    assert bundle.calibration == {"weights": [0, 1, 0]}
    assert bundle.manifest.evaluation == {"recall": 0.97}
    placement = Clusters.read(job.folder.clusters).placement
    for number, classes in enumerate(bundle.subnet_classes):
        assert classes.tolist() == placement.classes_in(number).tolist()
        assert bundle.subnet_file(number).read_bytes() == bytes([number]) * 50


def test_where_it_is_made_does_not_matter(job: Job, tmp_path: Path) -> None:
    other = job_before_publish(tmp_path / "deep" / "er" / "run")
    assert make_bundle(job, ignore).note.split()[-1] == make_bundle(other, ignore).note.split()[-1]


def test_a_bundle_is_replaced_once_the_new_one_is_verified(job: Job) -> None:
    make_bundle(job, ignore)
    before = contents(job.folder.bundle)
    means = job.folder.class_means.read_bytes()
    job.folder.class_means.write_bytes(means[:-4] + b"\xff\xff\xff\xff")  # NaN
    with pytest.raises(BundleInvalid, match=r"index\.faiss"):
        make_bundle(job, ignore)
    assert contents(job.folder.bundle) == before

    job.folder.class_means.write_bytes(means)
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
