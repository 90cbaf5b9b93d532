"""Child processes that a benchmark kills, freezes and starts again, each by its own number."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

STOP_TIMEOUT_S = 30.0
LOG_TAIL = 4_000
"""Characters of a log that an error is given."""


class ChildProcess:
    """A command that can be run again and again; its output goes to one log."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        folder: Path | None = None,
        user: int | None = None,
    ) -> None:
        """Keep what is to be run; nothing runs yet.

        Args:
            name: for people.
            command: program and arguments.
            environment: all of it.
            log: file that the output is added to.
            folder: to run in.
            user: number of the user to run as, if not as us; its group is of the same number.
        """
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.log = log
        self._folder = folder
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Number of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Run the command; returns at once."""
        assert not self.is_running
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
                start_new_session=True,  # a Ctrl-C is ours to pass on
            )

    def kill(self) -> None:
        """End it by SIGKILL, which it can't notice, and wait until it is gone."""
        if self.is_running:
            assert self._process is not None
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Stop it and all its children by SIGSTOP: connections stay open, nothing answers."""
        self._signal_all(signal.SIGSTOP)
        while psutil.Process(self.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)

    def thaw(self) -> None:
        """Have it and its children go on."""
        self._signal_all(signal.SIGCONT)

    def ask_to_stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Tell it to end in good order; returns at once."""
        if self.is_running:
            self.thaw()
            with suppress(ProcessLookupError):
                os.kill(self.pid, how)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Wait for its end, which is made by force after `timeout_s`."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:] if self.log.exists() else ""

    def _signal_all(self, signal_: signal.Signals) -> None:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            for each in [process, *process.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    each.send_signal(signal_)


def free_port() -> int:
    """Find a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
