"""What a batch works on, kept sealed in the database: all workers find it there, and it goes with
the job.
"""

import asyncio
import io
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import BinaryIO
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import Database
from app.encryption.contents import UPLOAD
from app.jobs.attended import AWAY
from app.problems import DatabaseUnavailable
from app.tables import UploadRow
from vault.vault import Vault

PART_BYTES = 1024 * 1024
"""Of the upload, but for the last part."""
ATTEMPTS = 30
TRY_AGAIN_AFTER_S = 1.0
"""A cut connection must not end a batch that was accepted. While the database stays away for
longer, the job loses its lock, and is taken up again."""
PARTS_AT_HAND = 2
"""A zip is read at two places by turns: in its entries, and between them."""


async def store_upload(
    session: AsyncSession, vault: Vault, *, job_id: UUID, file: BinaryIO
) -> None:
    """Store an upload from where the file is at, a part at a time."""
    position = 0
    while part := await asyncio.to_thread(file.read, PART_BYTES):
        sealed = await asyncio.to_thread(vault.seal, part, purpose=UPLOAD, owner=job_id)
        await session.execute(
            insert(UploadRow).values(job_id=job_id, position=position, content=sealed)
        )
        position += 1


def stored_upload(database: Database, vault: Vault, *, job_id: UUID, size: int) -> BinaryIO:
    """Open an upload of so many bytes for reading in threads other than the event loop's.

    To be called on the event loop. Reads go on after a short
    outage of the database; they raise what it does in a longer one, and LookupError if the
    upload is gone, as it is when the job is over.
    """
    loop = asyncio.get_running_loop()

    async def sealed_part(position: int) -> bytes:
        async with database.snapshot() as session:
            row = select(UploadRow.content).where(
                UploadRow.job_id == job_id, UploadRow.position == position
            )
            content = await session.scalar(row)
        if content is None:
            raise LookupError("the upload is gone")
        return content

    def part(position: int) -> bytes:
        for _ in range(ATTEMPTS - 1):
            with suppress(DatabaseUnavailable, *AWAY):
                return opened(position)
            time.sleep(TRY_AGAIN_AFTER_S)
        return opened(position)

    def opened(position: int) -> bytes:
        sealed = asyncio.run_coroutine_threadsafe(sealed_part(position), loop).result()
        return vault.open(sealed, purpose=UPLOAD, owner=job_id)

    return io.BufferedReader(_Parts(lru_cache(PARTS_AT_HAND)(part), size))


class _Parts(io.RawIOBase):
    """Puts parts together to one file."""

    def __init__(self, part: Callable[[int], bytes], size: int) -> None:
        self._part = part
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError("before the beginning of the file")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        if self._at >= self._size:
            return 0
        number, offset = divmod(self._at, PART_BYTES)
        content = self._part(number)[offset : offset + len(buffer)]
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
