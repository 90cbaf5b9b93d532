import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from models.bundle_format import MANIFEST
from tests.training.run.jobs import SETTINGS, ignore, job_of
from training.run.job import Job
from training.run.nets import read_calibration
from training.run.stages import BY_NAME, carry_out

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def carry_all(job: Job, *names: str) -> list[bool]:
    """Whether each of the stages was kept."""
    return [carry_out(job, BY_NAME[name], ignore).kept for name in names]


def nets(job: Job) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in job.folder.subnets.glob("*.onnx")}


def test_there_is_one_net_a_cluster_and_none_of_an_earlier_clustering(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    made = ("class-means", "cluster", "subnets")
    assert carry_all(job, *made) == [False, False, False]
    three = nets(job)
    assert len(three) == 3
    assert carry_all(job_of(tmp_path), *made) == [True, True, True]

    other = job_of(
        tmp_path, settings=replace(SETTINGS, training=replace(SETTINGS.training, target_size=18))
    )
    assert carry_all(other, *made) == [True, False, False]
    assert list(nets(other)) == ["subnet-000000.onnx"]
    assert len(list(other.folder.subnets.iterdir())) == 2

    assert carry_all(job_of(tmp_path), *made) == [True, False, False]
    assert nets(job) == three


def test_a_net_that_was_changed_is_made_again(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    carry_all(job, "class-means", "cluster", "subnets")
    before = nets(job)
    (job.folder.subnets / "subnet-000001.onnx").write_bytes(b"no net")
    assert carry_all(job, "class-means", "cluster", "subnets") == [True, True, False]
    assert nets(job) == before


def test_other_settings_of_subnets_leave_the_clusters(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    carry_all(job, "class-means", "cluster", "subnets")
    training = SETTINGS.training
    settings = replace(training, subnets=replace(training.subnets, epochs=1))
    other = job_of(tmp_path, settings=replace(SETTINGS, training=settings))
    assert carry_all(other, "class-means", "cluster", "subnets") == [True, True, False]
    # The store alone decides what is taken over: where it goes, so does all.
    shutil.rmtree(job.folder.store)
    again = job_of(tmp_path, count=17)
    assert carry_all(again, "class-means", "cluster", "subnets") == [False, False, False]
    assert (again.store.folder / MANIFEST).is_file()


def test_a_gallery_too_small_for_thresholds_is_calibrated_without(tmp_path: Path) -> None:
    for count in (2, 18):
        job = job_of(tmp_path / str(count), count=count)
        carry_all(job, "class-means", "cluster", "subnets", "calibrate")
        assert read_calibration(job)["thresholds"] == []
