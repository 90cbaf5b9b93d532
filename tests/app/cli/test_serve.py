"""`cohort serve` as its operator sees it: the first lines, the signals, the errors of a start."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.cli.child_service import running_service
from tests.app.cli.conftest import ROOT, Running, cohort_process


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not under pytest's folder, whose rights pytest itself resets."""
    path = Path(tempfile.mkdtemp(prefix="cohort-serve-"))
    yield path
    shutil.rmtree(path)


def start(data_dir: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(data_dir), "COHORT_DATA_DIR": str(data_dir)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "end", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_it_says_where_everything_is_and_ends_well(folder: Path, end: signal.Signals) -> None:
    process = start(folder, "--port", "0")
    assert process.stderr is not None
    said: dict[str, str] = {}
    for line in process.stderr:
        name, _, value = line.rstrip("\n").partition("  ") if line[0] != "{" else ("", "", "")
        said[name] = value.strip()
        if line.startswith("Cohort listens on"):
            said["url"] = line.split()[-1]
        if name == "admin key":
            break
    process.send_signal(end)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert said["documentation"] == "needs a key, or COHORT_PUBLIC_DOCS=true"
    assert said["data"] == f"{folder} (embedded Postgres)"
    assert said["admin key"] == f"{folder}/admin.key"
    assert (folder / "admin.key").stat().st_mode & 0o777 == 0o600
    # No library leaves anything at home; ONNX Runtime's telemetry would, before it sends it.
    assert {path.name for path in folder.iterdir()} == {"admin.key", "encryption.key", "postgres"}


@pytest.mark.slow
def test_a_second_start_finds_the_data_again(folder: Path) -> None:
    with running_service(folder) as first:
        key = (folder / "data" / "admin.key").read_text()
        first.enroll([("cat.jpg", (ROOT / "tests/data/obama2.jpg").read_bytes())], name="A")
    with running_service(folder) as second:
        faces = second.identify("a.jpg", (ROOT / "tests/data/obama2.jpg").read_bytes())["faces"]
    assert faces[0]["best"]["name"] == "A"
    assert (folder / "data" / "admin.key").read_text() == key


def test_a_port_that_is_taken_is_said(running: Running, tmp_path: Path) -> None:
    port = running.url.rpartition(":")[2]
    done = cohort_process("serve", "--port", port, COHORT_DATA_DIR=str(tmp_path))
    assert done.code == 3
    assert done.err.startswith(f"cohort: Can't listen on 127.0.0.1 port {port}: Address already")
    assert not list(tmp_path.iterdir())


def test_of_two_started_at_once_on_one_port_one_runs(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    pair = [start(folder / name, "--port", port) for name in "ab"]
    # The one that lost the race ends long before the other has loaded.
    while all(process.poll() is None for process in pair):
        time.sleep(0.02)
    (lost,) = (process for process in pair if process.poll() is not None)
    (runs,) = (process for process in pair if process is not lost)
    _, said = lost.communicate()
    assert lost.returncode == 3, said
    assert said.startswith(f"cohort: Can't listen on 127.0.0.1 port {port}: Address already")
    runs.terminate()
    _, said = runs.communicate(timeout=60)
    assert runs.returncode == 0, said


def read_until_ready(process: "subprocess.Popen[str]") -> str:
    """Wait for a service's first lines; gives its address."""
    assert process.stderr is not None
    url = next(line.split()[-1] for line in process.stderr if line.startswith("Cohort listens"))
    next(line for line in process.stderr if line.startswith("admin key"))
    return url


def test_an_error_at_the_stop_is_not_told_as_one_of_the_start(folder: Path) -> None:
    process = start(folder, "--port", "0")
    read_until_ready(process)
    lock = folder / "postgres" / "cluster" / "postmaster.pid"
    postmaster = int(lock.read_text().splitlines()[0])
    lock.unlink()
    process.terminate()
    _, said = process.communicate(timeout=30)
    left = psutil.Process(postmaster)
    left.send_signal(signal.SIGINT)
    left.wait(30)  # or it would write into the folder while that is removed
    assert process.returncode == 3, said
    assert "cohort: The service did not stop in good order: " in said
    assert "can't start" not in said
    assert "Traceback" not in said


def test_a_second_ctrl_c_leaves_no_postgres_behind(folder: Path) -> None:
    process = start(folder, "--port", "0")
    port = int(read_until_ready(process).rpartition(":")[2])
    lock = folder / "postgres" / "cluster" / "postmaster.pid"
    key = (folder / "admin.key").read_text().strip()
    with socket.create_connection(("127.0.0.1", port)) as unfinished:
        unfinished.sendall(
            b"POST /identify HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n"
            b"Authorization: Bearer " + key.encode() + b"\r\n\r\n"
        )
        assert unfinished.recv(100).startswith(b"HTTP/1.1 100")  # the body is waited for
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert not lock.exists()


def test_a_host_that_is_not_here_is_said(tmp_path: Path) -> None:
    done = cohort_process("serve", "--host", "203.0.113.1", COHORT_DATA_DIR=str(tmp_path))
    assert done.code == 3
    assert done.err.startswith("cohort: Can't listen on 203.0.113.1 port 8000")


def test_the_port_is_free_again_at_once(running: Running) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = [cohort_process("serve", "--port", str(port), COHORT_PROVIDER="cuda") for _ in range(2)]
    assert [each.code for each in done] == [3, 3]
    assert "Can't listen" not in done[1].err


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        pytest.param({"COHORT_PROVIDER": "cuda"}, "'cuda' is not in this install", id="provider"),
        pytest.param({"COHORT_PROVIDER": "abacus"}, "COHORT_PROVIDER: Input", id="setting"),
        pytest.param({"COHORT_EMBEDDER": "/none.toml"}, "/none.toml", id="embedder"),
        pytest.param(
            {"COHORT_DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/none"},
            "The database can't be used: ",
            id="database",
        ),
        pytest.param(
            {"COHORT_DATABASE_URL": "postgresql://u:secret@h:port/d"},
            "COHORT_DATABASE_URL: Value error, should be postgresql://",
            id="database-url",
        ),
        pytest.param({"COHORT_DATA_DIR": "/proc/none"}, "/proc/none", id="data-dir"),
    ],
)
def test_a_start_that_fails_is_a_sentence(settings: dict[str, str], sentence: str) -> None:
    done = cohort_process("serve", "--port", "0", **settings)
    assert done.code == 3, done.err
    last = [line for line in done.err.splitlines() if not line.startswith("{")]
    assert sentence in last[0]
    assert len(last) <= 2
    assert "Traceback" not in done.err
    assert "secret" not in done.err
