"""Stands between the service and a training process, so that none outlives the other.

Run by its path, in the interpreter that trains: it needs the standard library alone.

    python launch.py SERVICE_PID MEMORY_BYTES COMMAND...

The command runs in a process group of its own, with its workers. The group is killed as soon as
the command ends, by whatever, or the service does: a training leaves nothing that is worth a
gentler end. SIGTERM does the same. The exit code is the command's, or 128 and its signal's number.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterable

NICENESS = 10
"""The service's own work goes first."""
PR_SET_PDEATHSIG = 1
"""Linux: which signal a process gets when its parent has died."""
AWAITED = {signal.SIGTERM, signal.SIGCHLD}


def main(service_pid: int, memory_bytes: int, command: list[str]) -> int:
    """Run the command to its end; give its exit code."""
    # Blocked, they wait for `sigwait` below, whenever they come.
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    die_with_parent(signal.SIGTERM)
    if os.getppid() != service_pid:  # it died before the line above
        return 128 + signal.SIGTERM

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
        die_with_parent(signal.SIGKILL)
        os.setpgid(0, 0)
        os.nice(NICENESS)
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))

    # This process has one thread, so code may run between fork and exec.
    child = subprocess.Popen(command, preexec_fn=prepare)  # noqa: S603
    try:
        code = wait_for(AWAITED, child)
    finally:
        kill_group(child.pid)
    return code if code >= 0 else 128 - code


def wait_for(signals: Iterable[signal.Signals], child: "subprocess.Popen[bytes]") -> int:
    """Wait until the child has ended, or kill it on SIGTERM; give its code as Popen does."""
    while (code := child.poll()) is None:
        if signal.sigwait(signals) == signal.SIGTERM:
            kill_group(child.pid)
            return child.wait()
    return code


def kill_group(group: int) -> None:
    """End all processes of a group, if there are any."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def die_with_parent(number: signal.Signals) -> None:
    """Ask for a signal when the parent dies; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
