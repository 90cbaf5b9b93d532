"""SIGKILL at every stage, of the command and its workers; the same command goes on."""

import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from models.bundle import Bundle
from tests.training.cli.child import killed_at, refused, signalled, training
from tests.training.people import people
from tests.training.small_stores import EMBEDDER
from training.run.folder import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.torch]

PEOPLE = 120
"""Enough to validate on for thresholds; three clusters."""
SETTINGS = ("--target-size", "40", "--epochs", "2", "--repetitions", "2", "--device", "cpu")
SAID_ONCE = r" +\d+:\d\d:\d\d  "
"""What follows a stage's name once it was made, rather than kept."""
MARKERS = (
    *(name + SAID_ONCE for name in ("class-means", "cluster")),
    *("subnets: 1 of", f"subnets{SAID_ONCE}", f"calibrate{SAID_ONCE}"),
    *("evaluate: [1-9]", f"evaluate{SAID_ONCE}", f"publish{SAID_ONCE}"),
)
"""Lines at which it is killed: in the midst of the long stages, and between any two."""


def run_of(folder: Path) -> tuple[str | Path, ...]:
    return ("run", "--out", folder, "--jobs", "2", *SETTINGS)


def contents(folder: Path) -> Mapping[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.timeout(900)
def test_killed_at_every_stage_it_ends_with_the_same_bundle(tmp_path: Path) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    people(whole / "store", PEOPLE)
    shutil.copytree(whole, run)
    done = training(*run_of(whole))
    assert done.code == 0, done.err
    bundle = Bundle.open(whole / "bundle", embedder=EMBEDDER)
    assert done.out.splitlines()[-3:] == [
        f"bundle: {whole}/bundle",
        f"bundle id: {bundle.id}",
        f"report: {whole}/report.html",
    ]
    for marker in MARKERS:
        killed_at(marker, *run_of(run))
    resumed = training(*run_of(run))
    assert resumed.code == 0, resumed.err
    assert f"bundle id: {bundle.id}" in resumed.out
    assert contents(run / "bundle") == contents(whole / "bundle")
    # Once more, all of it is kept.
    again = training(*run_of(run), "--jobs", "1")
    assert again.out == resumed.out
    assert all("  kept  " in line for line in again.err.splitlines())


def test_interrupted_it_leaves_with_130_and_goes_on(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    people(run.store, PEOPLE)
    with signalled("subnets: 1 of", "SIGSTOP", *run_of(run.path)) as child:
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        try:
            # Nobody else may work there meanwhile, however long it takes.
            assert "another training is at work there" in refused("cluster", "--out", run.path)
        finally:
            child.send_signal(signal.SIGINT)
            os.killpg(child.pid, signal.SIGCONT)
        _, rest = child.communicate()
    assert child.returncode == 130, rest
    assert "Traceback" not in rest
    assert run.record("cluster") is not None
    assert run.record("subnets") is None
    assert list(run.subnets.glob("*.onnx"))
    assert training("subnets", "--jobs", "1", "--out", run.path).code == 0
