"""The pictures in an archive: a zip or a tar, perhaps gzipped, that may have been made to harm.

Nothing is ever unpacked to a disk. An archive is refused as a whole for a name that points out of
it, a link, a device, or more bytes than pictures can unpack to. Archives in it are not opened.
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Literal

from app.batches.tar import tar_members
from app.batches.unpacked import MAX_EXPANSION, SLACK_BYTES, UnpackedLimit, gunzipped
from app.problems import CorruptArchive, TooManyEntries, UnsafeArchive, UnsupportedArchive

ArchiveFormat = Literal["zip", "tar", "tar.gz"]

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
MAX_ENTRIES = 100_000
MAX_DIRECTORY_BYTES = 256 * MAX_ENTRIES
"""Of a zip's directory, which is read whole."""


PORTION_BYTES = 64 * 1024

_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, OSError, ValueError, NotImplementedError),
)
"""What the standard library raises of damaged archives."""


@dataclass(frozen=True)
class Entry:
    """A picture in an archive."""

    path: str
    size: int
    """In bytes, as the archive says."""
    read: Callable[[], bytes]
    """Gives the content, if it is called before the next entry is asked for."""


def format_of(head: bytes) -> ArchiveFormat:
    """Tell an archive's format from its first 512 bytes: `zip`, `tar` or `tar.gz`.

    Raises:
        UnsupportedArchive: it is none of them.
    """
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "tar.gz"
    if head[257:262] == b"ustar":
        return "tar"
    raise UnsupportedArchive("Send a zip, a tar or a tar.gz.")


def entries(
    file: BinaryIO, archive: ArchiveFormat, *, size: int, max_picture_bytes: int
) -> Iterator[Entry]:
    """Go through the pictures of an archive, in its order.

    Args:
        file: the archive, at its beginning; a zip is read here and there.
        archive: its format.
        size: of the file, in bytes.
        max_picture_bytes: what is larger is told, and not read: its content is empty.

    Raises:
        CorruptArchive, UnsafeArchive, TooManyEntries, UnsupportedArchive: when it comes to it.
    """
    try:
        if archive == "zip":
            yield from _of_zip(file, size, max_picture_bytes)
        else:
            limit = UnpackedLimit(size)
            source = gunzipped(file, limit) if archive == "tar.gz" else file
            yield from _of_tar(source, max_picture_bytes)
    except _DAMAGED as error:
        raise CorruptArchive("The archive is truncated or damaged.") from error


def _of_zip(file: BinaryIO, size: int, max_picture_bytes: int) -> Iterator[Entry]:
    # What `ZipFile` itself finds the directory by: it would read all of a directory of any size.
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is None:
        raise CorruptArchive("The zip is truncated or damaged.")
    count, directory_bytes = end[4], end[5]
    if count > MAX_ENTRIES or directory_bytes > MAX_DIRECTORY_BYTES:
        raise _too_many()
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if len(infos) > MAX_ENTRIES:
            raise _too_many()
        for info in infos:
            _check_zip_entry(info)
        pictures = [info for info in infos if not info.is_dir() and _is_picture(info.filename)]
        if sum(info.file_size for info in pictures) > MAX_EXPANSION * size + SLACK_BYTES:
            raise UnsafeArchive("The zip unpacks to far more than pictures do.")
        for info in pictures:
            readable = info.file_size <= max_picture_bytes
            yield Entry(
                info.filename,
                info.file_size,
                partial(_read_what_is_sound, archive, info) if readable else bytes,
            )


def _read_what_is_sound(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Read an entry as far as it is not damaged: the decoder says what a part is worth."""
    content = bytearray()
    with suppress(*_DAMAGED), archive.open(info) as member:
        while portion := member.read(PORTION_BYTES):
            content += portion
    return bytes(content)


def _check_zip_entry(info: zipfile.ZipInfo) -> None:
    _check_path(info.orig_filename)
    if info.flag_bits & 0x1:
        raise UnsupportedArchive("The zip is encrypted; send it without a password.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsupportedArchive("The zip is packed otherwise than by deflate; pack it anew.")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnsafeArchive("The zip holds a link or a device.")


def _of_tar(source: BinaryIO, max_picture_bytes: int) -> Iterator[Entry]:
    for count, member in enumerate(tar_members(source)):
        if count >= MAX_ENTRIES:
            raise _too_many()
        _check_path(member.path)
        if not member.is_file or not _is_picture(member.path):
            continue
        content = member.read if member.size <= max_picture_bytes else bytes
        yield Entry(member.path, member.size, content)


def _check_path(path: str) -> None:
    parts = path.replace("\\", "/").split("/")
    if path[:1] in ("/", "\\") or path[1:2] == ":" or ".." in parts or "\0" in path:
        raise UnsafeArchive("The archive holds an absolute path, or one with `..` in it.")


def _is_picture(path: str) -> bool:
    """Whether an entry is looked at; what systems put beside pictures by themselves is not."""
    parts = path.split("/")
    return path.lower().endswith(PICTURES) and not any(
        part.startswith(".") or part == "__MACOSX" for part in parts if part != "."
    )


def _too_many() -> TooManyEntries:
    return TooManyEntries(f"The archive has more than {MAX_ENTRIES:,} entries; send several.")
