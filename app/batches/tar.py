"""Reads a tar from its beginning to its end, and nothing of it twice.

The standard library's reader takes an extended header of whatever size into memory; this one takes
what names need. Headers are read by the standard library all the same.
"""

import tarfile
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from app.problems import CorruptArchive, UnsafeArchive

BLOCK_BYTES = 512
MAX_EXTENDED_BYTES = 64 * 1024
"""Of a header that gives a long name; other things in it are of no use here."""
PORTION_BYTES = 1024 * 1024


class Member(NamedTuple):
    """A file or a folder in a tar."""

    path: str
    size: int
    is_file: bool
    read: Callable[[], bytes]
    """Gives the content, if it is called before the next member is asked for."""


def tar_members(source: BinaryIO) -> Iterator[Member]:
    """Go through a tar.

    Raises:
        CorruptArchive: it is truncated or damaged, or a name is not UTF-8.
        UnsafeArchive: it holds a link or a device.
    """
    long_path: str | None = None
    while (header := _next_header(source)) is not None:
        rest = _Rest(source, header.size)
        match header.type:
            case tarfile.XHDTYPE | tarfile.SOLARIS_XHDTYPE:
                long_path = _pax_path(rest.read_all(MAX_EXTENDED_BYTES)) or long_path
            case tarfile.GNUTYPE_LONGNAME:
                long_path = _text(rest.read_all(MAX_EXTENDED_BYTES).rstrip(b"\0"))
            case tarfile.XGLTYPE:
                pass  # of the whole archive: names of its maker's choice, no file's
            case tarfile.DIRTYPE | tarfile.REGTYPE | tarfile.AREGTYPE:
                path = long_path or header.name
                is_file = header.isreg() and not path.endswith("/")
                yield Member(path, header.size, is_file, lambda rest=rest: rest.read_all(rest.left))  # type: ignore[misc]
                long_path = None
            case _:
                raise UnsafeArchive("The tar holds a link, a device or a file with holes.")
        rest.skip()


def _next_header(source: BinaryIO) -> tarfile.TarInfo | None:
    """Read a header; None at the archive's end."""
    block = source.read(BLOCK_BYTES)
    if not block.strip(b"\0"):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise CorruptArchive("The tar is damaged, or a name in it is not UTF-8.") from error


class _Rest:
    """What is left of a member's content."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        if size < 0:
            raise CorruptArchive("The tar is damaged.")
        self._source = source
        self.left = size
        self._padding = -size % BLOCK_BYTES

    def read_all(self, most: int) -> bytes:
        if self.left > most:
            raise UnsafeArchive("The tar holds an extended header that no name needs.")
        content = self._source.read(self.left)
        if len(content) < self.left:
            raise CorruptArchive("The tar is truncated.")
        self.left = 0
        return content

    def skip(self) -> None:
        left = self.left + self._padding
        while left:
            portion = self._source.read(min(left, PORTION_BYTES))
            if not portion:
                raise CorruptArchive("The tar is truncated.")
            left -= len(portion)


def _pax_path(content: bytes) -> str | None:
    r"""Find `path` among the records, each `LENGTH KEY=VALUE\n`."""
    found = None
    while content:
        length_text, _, _ = content.partition(b" ")
        if not length_text.isdigit() or not 0 < int(length_text) <= len(content):
            raise CorruptArchive("The tar is damaged.")
        length = int(length_text)
        key, _, value = content[len(length_text) + 1 : length - 1].partition(b"=")
        if key == b"size":
            raise UnsafeArchive("The tar holds a file of more than 8 GiB.")
        if key == b"path":
            found = _text(value)
        content = content[length:]
    return found


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise CorruptArchive("A name in the tar is not UTF-8.") from error
