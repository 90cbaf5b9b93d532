"""Where entries wait while the database is away: files in the data directory.

<data dir>/audit/<random>.ndjson    one entry a line, readable by its owner only

Each process writes to a file of its own, on which it holds a lock for as long as it writes. The
kernel frees a dead process's lock, so that any other one can bring its entries home.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import RLock
from typing import Any
from uuid import uuid4

from app.audit.entry import Entry
from app.logs import get_logger

CHUNK = 500
"""Entries read at once: hours of an outage need not lie in memory together."""

log = get_logger()


class Spool:
    """The files of one data directory. Its methods block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        # A task that is cancelled leaves its thread at work: the next may come meanwhile.
        self._at_work = RLock()

    def append(self, entries: Sequence[Entry]) -> None:
        """Write entries; on return they are on the disk.

        Raises:
            OSError: they may not be.
        """
        content = b"".join(entry.line() for entry in entries)
        with self._at_work:
            try:
                if self._descriptor is None:
                    self._descriptor = self._opened()
                while content:
                    content = content[os.write(self._descriptor, content) :]
                os.fsync(self._descriptor)
            except OSError:
                # What follows half a line could not be read: the next entries begin another file.
                self.close()
                raise

    def _opened(self) -> int:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{uuid4().hex}.ndjson"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for folder in (self._folder, self._folder.parent):
            _sync_folder(folder)
        return descriptor

    def close(self) -> None:
        """Let go of the file; entries that come now begin another one."""
        with self._at_work:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def files(self) -> list[Path]:
        """List the files there are, also those that are being written to, oldest first."""
        with suppress(FileNotFoundError):
            found = [each for each in self._folder.iterdir() if each.suffix == ".ndjson"]
            return sorted(found, key=lambda path: path.stat().st_mtime)
        return []

    def size_bytes(self) -> int:
        """Tell how much waits, of this process and of others on the same data directory."""
        return sum(path.stat().st_size for path in self.files())


class SpoolFile:
    """A file that nobody writes to any more, locked while it is read. Its methods block."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._file = os.fdopen(descriptor, "rb")

    @classmethod
    def take(cls, path: Path) -> "SpoolFile | None":
        """Open a file; None if somebody has it: it is being written to, or brought home."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def next_documents(self) -> list[dict[str, Any]]:
        """Read the next entries, `CHUNK` at most; none: that was all."""
        return list(islice(self._documents(), CHUNK))

    def _documents(self) -> Iterator[dict[str, Any]]:
        for line in self._file:
            try:
                yield json.loads(line)
            except ValueError:
                # The end of a process that was killed, or of a full disk: no answer has left for
                # this entry.
                log.warning("audit_line_torn", file=self._path.name)

    def remove(self) -> None:
        """Delete the file, whose entries are in the table."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let others have it."""
        self._file.close()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
