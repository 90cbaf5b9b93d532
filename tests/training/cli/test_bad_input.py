"""Bad input, in processes of their own: a sentence, an exit code, and nothing finished is lost."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.training.cli.child import refused, training
from tests.training.embedding.folders_of_pictures import picture_folders
from tests.training.people import people
from tests.training.small_stores import batch_of, store_of
from training.stores.store import EmbeddingStore
from vault.master import write_master_key
from vault.vault import KEY_BYTES

pytestmark = pytest.mark.slow


def contents(folder: Path) -> Mapping[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_folders_that_nothing_can_be_made_of(tmp_path: Path) -> None:
    out = ("--out", tmp_path / "run")
    assert "there is no such folder" in refused("run", "--images", tmp_path / "nowhere", *out)
    (tmp_path / "empty").mkdir()
    assert "0 subjects with pictures" in refused("embed", "--images", tmp_path / "empty", *out)
    one = picture_folders(tmp_path / "one", {"Obama": ["obama"] * 5})
    assert "1 subject with pictures" in refused("run", "--images", one, *out)
    faceless = picture_folders(tmp_path / "faceless", {"Cat": ["cat"], "Obama": ["obama"]})
    said = refused("embed", "--images", faceless, *out)
    assert "1 subject with a face" in said
    assert f"{tmp_path}/run/embed-skipped.csv" in said
    assert not (tmp_path / "run" / "store").exists()


def test_pictures_that_give_no_template_are_left_out_and_said(tmp_path: Path) -> None:
    wanted = {"Biden": ["biden"], "Cat": ["cat"], "Obama": ["obama", "obama2"]}
    images = picture_folders(tmp_path / "images", wanted)
    (images / "Biden" / "broken.jpg").write_bytes(b"no picture")
    done = training("embed", "--images", images, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert "2 subjects, 3 pictures" in done.err
    assert "1 left out, without a face: Cat" in done.err
    again = training("embed", "--images", images, "--out", tmp_path / "run")
    assert " kept  2 subjects, 3 pictures" in again.err
    said = refused("embed", "--images", images, "--min-images", "2", "--out", tmp_path / "run")
    assert "store: is there already, made from other pictures or settings" in said
    EmbeddingStore.open(tmp_path / "run" / "store")


def test_vectors_that_are_no_numbers_are_refused_by_their_file(tmp_path: Path) -> None:
    run = tmp_path / "run"
    people(run / "store", 12)
    assert training("class-means", "--out", run).code == 0
    file = run / "store" / "vectors.f16"
    whole = file.read_bytes()
    vectors = np.frombuffer(whole, "<f2").copy()
    vectors[100] = np.nan
    vectors.tofile(file)
    before = contents(run)
    assert f"{file}: " in refused("cluster", "--out", run)
    assert contents(run) == before
    file.write_bytes(whole)
    assert training("cluster", "--target-size", "6", "--out", run).code == 0


def test_stages_out_of_their_order_and_folders_that_are_none(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert "there is no such directory" in refused("cluster", "--out", run)
    assert not run.exists()
    run.mkdir()
    assert "store: there is no store yet" in refused("class-means", "--out", run)
    people(run / "store", 12)
    assert "run `python -m training class-means" in refused("cluster", "--out", run)
    (tmp_path / "file").touch()
    assert "File exists" in refused("run", "--images", tmp_path, "--out", tmp_path / "file")
    (run / "settings.json").write_text("{}")
    assert "settings.json: does not hold settings" in refused("class-means", "--out", run)


@pytest.mark.parametrize("file", ["class_means.npy", "clusters.npz", "stages/cluster.json"])
def test_a_full_disk_is_said_and_the_same_command_goes_on(tmp_path: Path, file: str) -> None:
    run, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    for folder in (run, undisturbed):
        people(folder / "store", 12)
    commands = (("class-means",), ("cluster", "--target-size", "6"))
    for command in commands:
        assert training(*command, "--out", undisturbed).code == 0
    (run / "stages").mkdir()
    # Whatever is written to this device does not fit.
    blocked = run / f"{file}.part"
    blocked.symlink_to("/dev/full")
    failing = commands[0] if file == "class_means.npy" else commands[1]
    if failing is commands[1]:
        assert training(*commands[0], "--out", run).code == 0
    assert refused(*failing, "--out", run) == (
        "the disk is full; what was finished stays; free space and run the same command again"
    )
    blocked.unlink()
    for command in commands:
        assert training(*command, "--out", run).code == 0
    assert contents(run) == contents(undisturbed)


@pytest.mark.torch
def test_a_gallery_that_nothing_can_be_tested_on_is_published(tmp_path: Path) -> None:
    run = tmp_path / "run"
    # Two pictures of each: one to train on, and of some the other to validate.
    store_of(run / "store", [batch_of([f"subject {number // 2:03}" for number in range(240)])])
    done = training("run", "--out", run, "--epochs", "1", "--jobs", "1", "--target-size", "200")
    assert done.code == 0, done.err
    assert (run / "bundle" / "manifest.json").is_file()
    assert (run / "report.html").is_file()


def test_a_database_that_does_not_answer_is_said(tmp_path: Path) -> None:
    said = refused(
        *("embed", "--collection", "staff", "--out", tmp_path / "run"),
        COHORT_DATABASE_URL="postgresql://cohort:secret@127.0.0.1:1/cohort",
        COHORT_ENCRYPTION_KEY=write_master_key(bytes(KEY_BYTES)),
    )
    assert "the gallery's database can't be read" in said
    assert "secret" not in said
