"""The launcher with real processes: whatever ends, nothing is left of the training."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from app.jobs import launch

GIB = 2**30
PARENT = """
import os, subprocess, sys
launch, *command = sys.argv[1:]
process = subprocess.Popen([sys.executable, launch, str(os.getpid()), str(2**30), *command])
print(process.pid, flush=True)
process.wait()
"""
WITH_A_WORKER = """
import subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(worker.pid, flush=True)
time.sleep(float(sys.argv[1]))
"""


def launched(*command: str, memory_bytes: int = GIB) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, launch.__file__, str(os.getpid()), str(memory_bytes), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, f"process {pid} is still there"
            time.sleep(0.02)


def first_number(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("pass", 0),
        ("import sys; sys.exit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", 128 + signal.SIGKILL),
    ],
)
def test_the_exit_code_is_the_commands(program: str, code: int) -> None:
    with launched(sys.executable, "-c", program) as process:
        assert process.wait(20) == code


def test_the_command_has_low_priority_and_little_memory() -> None:
    program = (
        "import os, resource\n"
        "print(os.nice(0), *resource.getrlimit(resource.RLIMIT_DATA))\n"
        "try:\n    bytearray(2**29)\nexcept MemoryError:\n    print('refused')\n"
    )
    with launched(sys.executable, "-c", program, memory_bytes=2**28) as process:
        out, _ = process.communicate(timeout=20)
    nice = min(os.nice(0) + launch.NICENESS, 19)
    assert out.split() == [str(nice), str(2**28), str(2**28), "refused"]


def test_workers_go_with_the_command() -> None:
    with launched(sys.executable, "-c", WITH_A_WORKER, "0.2") as process:
        worker = first_number(process)
        assert process.wait(20) == 0
        wait_until_gone(worker)


def test_workers_go_when_the_command_is_killed() -> None:
    with launched(sys.executable, "-c", WITH_A_WORKER, "60") as process:
        worker = first_number(process)
        command = psutil.Process(worker).ppid()
        os.kill(command, signal.SIGKILL)
        assert process.wait(20) == 128 + signal.SIGKILL
        wait_until_gone(worker)


def test_sigterm_ends_all_at_once() -> None:
    with launched(sys.executable, "-c", WITH_A_WORKER, "60") as process:
        worker = first_number(process)
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGKILL
        wait_until_gone(worker)


@pytest.mark.parametrize("with_the_command", [False, True])
def test_all_go_when_the_service_is_killed(with_the_command: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, launch.__file__, sys.executable, "-c", WITH_A_WORKER, "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as service:
        launcher = first_number(service)
        worker = first_number(service)
        command = psutil.Process(worker).ppid()
        if with_the_command:
            os.kill(command, signal.SIGKILL)
        service.kill()
        service.wait(20)
        for pid in (launcher, command, worker):
            wait_until_gone(pid)


def test_it_starts_nothing_for_a_service_that_is_gone(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    command = [sys.executable, launch.__file__, "1", str(GIB), "touch", str(trace)]
    # Process 1 is nobody's parent here but of what has lost its own.
    done = subprocess.run(command, timeout=20, check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert not trace.exists()
