"""`cohort train`: another program's commands, with its exit code and the service's database."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import train
from tests.app.cli.conftest import PICTURES, ROOT, Cohort, Running, cohort_process


def test_without_torch_it_says_where_to_get_it(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "find_spec", lambda _name: None)
    done = cohort("train", "run", "--help")
    assert done.code == 3
    assert f"needs torch, which {sys.executable} does not have" in done.err
    assert "`make setup-training`" in done.err


ATTENDED = """
import os, sys
from app.cli.train import attended
sys.exit(attended([sys.executable, "-c", sys.argv[1]], dict(os.environ)))
"""
WAITING = "import time\nprint('ready', flush=True)\ntime.sleep(60)"
POLITE = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n" + WAITING


@pytest.mark.parametrize(
    ("program", "number", "whole_group", "code"),
    [
        (POLITE, signal.SIGTERM, False, 7),
        (WAITING, signal.SIGTERM, False, 128 + signal.SIGTERM),
        (WAITING, signal.SIGHUP, False, 128 + signal.SIGHUP),
        # As the terminal sends it.
        (WAITING, signal.SIGINT, True, 128 + signal.SIGINT),
    ],
)
def test_signals_reach_the_child_and_its_exit_code_is_taken_over(
    program: str, number: signal.Signals, whole_group: bool, code: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ATTENDED, program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        (os.killpg if whole_group else os.kill)(process.pid, number)
        assert process.wait(30) == code


EARLY = """
import os, subprocess, sys
from app.cli.train import attended
open_child = subprocess.Popen
def open_late(*arguments, **settings):
    os.kill(os.getpid(), int(sys.argv[2]))
    return open_child(*arguments, **settings)
subprocess.Popen = open_late
sys.exit(attended([sys.executable, "-c", sys.argv[1]], dict(os.environ)))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_that_come_before_there_is_a_child_reach_it(number: signal.Signals) -> None:
    command = [sys.executable, "-c", EARLY, WAITING, str(int(number))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=50)
    assert done.returncode == 128 + number, done.stderr


@pytest.mark.torch
@pytest.mark.slow
def test_what_follows_is_the_training_modules(tmp_path: Path) -> None:
    own = cohort_process("train", "--help")
    assert (own.code, "cohort train run --images" in " ".join(own.out.split())) == (0, True)
    helped = cohort_process("train", "run", "--help")
    assert (helped.code, "--target-size" in helped.out) == (0, True)
    assert cohort_process("train", "run", "--out", str(tmp_path)).code == 2
    refused = cohort_process("train", "cluster", "--out", str(tmp_path / "nowhere"))
    assert (refused.code, refused.out) == (3, "")
    assert refused.err.startswith(f"training: {tmp_path}/nowhere: there is no such directory")


@pytest.mark.torch
@pytest.mark.slow
def test_a_collection_is_read_from_the_data_directory(running: Running, tmp_path: Path) -> None:
    collection = running.new_collection()
    for subject in ("obama", "biden"):
        (tmp_path / "people" / subject).mkdir(parents=True)
        picture = (PICTURES / f"{subject}.jpg").read_bytes()
        (tmp_path / "people" / subject / "1.jpg").write_bytes(picture)
    imported = cohort_process(
        *("import", str(tmp_path / "people"), "--collection", collection),
        *("--journal", str(tmp_path / "journal.jsonl"), "--url", running.url),
        COHORT_API_KEY=running.key,
    )
    assert imported.code == 0, imported.err

    data = {"COHORT_DATA_DIR": str(running.data_dir)}
    made = cohort_process(
        *("train", "embed", f"--collection={collection}", "--out", str(tmp_path / "run")), **data
    )
    assert made.code == 0, made.err
    assert "2 subjects" in made.err
    assert (tmp_path / "run" / "store" / "manifest.json").is_file()
    missing = cohort_process(
        *("train", "embed", "--collection", "nobody", "--out", str(tmp_path / "other")), **data
    )
    assert missing.code == 3
    assert "there is no collection 'nobody'" in missing.err
    # The service, which uses the same server, is none the worse.
    assert set(running.subjects(collection)) == {"obama", "biden"}
