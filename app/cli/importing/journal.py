"""What became of each file, a JSON line a file, so that an import can be stopped and continued.

The first line says what the journal is about. A line is written after the service has answered; a
crash between the two is harmless, because the service knows the same picture of the same subject
again and says so.
"""

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

from app.cli.output import Failure

Status = Literal["enrolled", "already_there", "rejected"]


@dataclass(frozen=True)
class FileState:
    """Tells one content of a file from the next without reading it; -1, -1 is no file."""

    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Look at a file."""
        try:
            status = path.stat()
        except OSError:
            return cls(-1, -1)
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Entry:
    """What became of one file. `path` is relative to the folder of the import.

    `fields` are the form fields that a rejected picture was judged under; None where nothing was
    said about the picture itself, so that the next run sends it again.
    """

    path: str
    size_bytes: int
    modified_ns: int
    external_id: str
    status: Status
    reason: str = ""
    detail: str = ""
    fields: dict[str, str] | None = None


class Journal:
    """The entries of one import, in memory and appended to a file. Safe to use from threads."""

    def __init__(self, path: Path, entries: dict[str, Entry]) -> None:
        self.path = path
        self._entries = entries
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, *, url: str, collection: str, root: Path) -> Self:
        """Read the journal, or begin it.

        Args:
            path: the journal's file.
            url: the service that is filled.
            collection: the collection that is filled.
            root: the folder of the import.

        Raises:
            Failure: the file can't be used, or is of another import.
        """
        header = {"url": url, "collection": collection, "root": str(root.resolve())}
        first_line = json.dumps(header) + "\n"
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            # A line that a crash has cut has no end; its file is simply sent again.
            whole = text[: text.rfind("\n") + 1]
            if not whole and first_line.startswith(text):
                whole = first_line
            # Not splitlines(): a file's name may hold what Unicode takes for the end of a line.
            first, *lines = (json.loads(line) for line in whole.split("\n")[:-1])
            entries = {entry.path: entry for entry in (Entry(**line) for line in lines)}
            if first != header:
                raise Failure(
                    f"{path} is the journal of another import: {json.dumps(first)}",
                    hint="Name another file with --journal, or remove this one to begin anew.",
                )
            if whole != text:
                # Written beside and moved: a crash here must not cost the journal.
                fresh = path.with_name(path.name + ".new")
                fresh.write_text(whole, encoding="utf-8")
                fresh.replace(path)
        except OSError as error:
            raise Failure(f"The journal {path} can't be used: {error.strerror}.") from error
        except (ValueError, TypeError) as error:
            raise Failure(f"{path} is not the journal of an import.") from error
        return cls(path, entries)

    def find(self, path: str, state: FileState) -> Entry | None:
        """What became of this content of this file; None if it has not been dealt with."""
        entry = self._entries.get(path)
        if entry is None or FileState(entry.size_bytes, entry.modified_ns) != state:
            return None
        return entry

    def settles(self, path: str, state: FileState, fields: dict[str, str]) -> bool:
        """Tell whether sending this content with these form fields could bring nothing new."""
        entry = self.find(path, state)
        return entry is not None and (entry.status != "rejected" or entry.fields == fields)

    def record(self, entries: Sequence[Entry]) -> None:
        """Add entries, on disk before in memory."""
        text = "".join(json.dumps(asdict(entry)) + "\n" for entry in entries)
        with self._lock:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
            self._entries.update((entry.path, entry) for entry in entries)
