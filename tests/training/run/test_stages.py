from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.run.jobs import SETTINGS, ignore, job_of
from training.run.refused import RunRefused
from training.run.stages import BY_NAME, STAGES, carry_out, finished, made_from


def test_each_stage_comes_after_those_that_it_reads() -> None:
    before = ["embed"]
    for stage in STAGES:
        assert set(stage.after) <= set(before)
        before.append(stage.name)


def test_a_finished_stage_is_not_made_again(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    first = carry_out(job, BY_NAME["class-means"], ignore)
    assert not first.kept
    written = job.folder.class_means.stat().st_mtime_ns
    again = carry_out(job_of(tmp_path), BY_NAME["class-means"], ignore)
    assert again.kept
    assert again.note == first.note
    assert job.folder.class_means.stat().st_mtime_ns == written


def test_a_stage_before_that_is_missing_is_named(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    with pytest.raises(RunRefused, match=r"'class-means' is not finished.* run `python"):
        carry_out(job, BY_NAME["cluster"], ignore)
    assert not job.folder.clusters.exists()


def test_other_settings_make_anew_what_depends_on_them_and_never_mix(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    for name in ("class-means", "cluster"):
        carry_out(job, BY_NAME[name], ignore)
    larger = replace(SETTINGS, training=replace(SETTINGS.training, target_size=9))
    other = job_of(tmp_path, settings=larger)
    assert finished(other, "class-means") is not None
    assert finished(other, "cluster") is None
    with pytest.raises(RunRefused, match="'cluster' is not finished, or was made with other"):
        made_from(other, BY_NAME["subnets"])
    # A seed decides the split, and with it everything.
    seed = replace(SETTINGS, training=replace(SETTINGS.training, seed=1))
    assert finished(job_of(tmp_path, settings=seed), "class-means") is None
    # Repetitions decide the evaluation alone.
    fewer = job_of(tmp_path, settings=replace(SETTINGS, repetitions=1))
    assert finished(fewer, "cluster") is not None
    evaluate = BY_NAME["evaluate"].decided_by
    assert evaluate(fewer.settings) != evaluate(job.settings)
    # And with the first settings, all is as it was.
    assert finished(job, "cluster") is not None


def test_what_was_damaged_is_made_again_to_the_same_bytes(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    for name in ("class-means", "cluster"):
        carry_out(job, BY_NAME[name], ignore)
    before = job.folder.clusters.read_bytes()
    job.folder.clusters.write_bytes(before[:-1])
    assert not carry_out(job_of(tmp_path), BY_NAME["cluster"], ignore).kept
    assert job.folder.clusters.read_bytes() == before


def test_workers_and_place_decide_nothing(tmp_path: Path) -> None:
    digests = set()
    for name, jobs in (("one", 1), ("two", 2)):
        job = job_of(tmp_path / name)
        job = replace(job, workers=replace(job.workers, jobs=jobs))
        carry_out(job, BY_NAME["class-means"], ignore)
        digests.add(made_from(job, BY_NAME["cluster"]))
    assert len(digests) == 1
