"""How much an upload may unpack to."""

import gzip
import io
import zlib
from typing import BinaryIO

from app.problems import CorruptArchive, UnsafeArchive

MAX_EXPANSION = 10
"""Pictures hardly shrink; what is around them in a tar, and pictures that are there twice, do."""
SLACK_BYTES = 1024 * 1024
"""More, whatever the upload's size: tars have empty blocks at their ends."""


class UnpackedLimit:
    """Counts what comes out of an upload."""

    def __init__(self, upload_bytes: int) -> None:
        """Start to count; so and so much may come of an upload of this size."""
        self._left = MAX_EXPANSION * upload_bytes + SLACK_BYTES

    def count(self, size: int) -> None:
        """Count some bytes.

        Raises:
            UnsafeArchive: they are too many.
        """
        self._left -= size
        if self._left < 0:
            raise UnsafeArchive("The archive unpacks to far more than pictures do.")


def gunzipped(file: BinaryIO, limit: UnpackedLimit) -> BinaryIO:
    """Read what a gzip file holds; a read raises UnsafeArchive where the limit is passed."""
    return io.BufferedReader(_Counting(file, limit))


class _Counting(io.RawIOBase):
    def __init__(self, file: BinaryIO, limit: UnpackedLimit) -> None:
        self._gzip = gzip.GzipFile(fileobj=file, mode="rb")
        self._limit = limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        try:
            content = self._gzip.read(len(buffer))
        except (zlib.error, EOFError, OSError) as error:
            raise CorruptArchive("The gzip is truncated or damaged.") from error
        self._limit.count(len(content))
        buffer[: len(content)] = content
        return len(content)
