"""An upload in the database reads as the file that it was."""

import asyncio
import io
import random
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.batches import upload as module
from app.batches.upload import store_upload, stored_upload
from app.services import Services
from tests.app.batches.made import zip_of

WriteJob = Callable[[], UUID]
PART_BYTES = 1000


@pytest.fixture
def services(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Services:
    monkeypatch.setattr(module, "PART_BYTES", PART_BYTES)
    services: Services = app.state.services
    return services


@pytest.fixture
def job_id(services: Services) -> UUID:
    """A job that nobody knows how to run."""
    with psycopg.connect(services.database.address) as connection:
        found = connection.execute(
            "INSERT INTO jobs (id, collection_id, kind, state, progress, message, options, metrics,"
            " cancel_requested) SELECT gen_random_uuid(), id, 'other', 'queued', 0, '', '{}', '{}',"
            " false FROM collections RETURNING id"
        ).fetchone()
    assert found is not None
    job_id: UUID = found[0]
    return job_id


async def store(services: Services, job_id: UUID, content: bytes) -> None:
    async with services.database.transaction() as session:
        await store_upload(session, services.vault, job_id=job_id, file=io.BytesIO(content))


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 7777])
async def test_it_is_read_from_anywhere(services: Services, job_id: UUID, size: int) -> None:
    content = random.Random(size).randbytes(size)  # noqa: S311
    await store(services, job_id, content)
    file = stored_upload(services.database, services.vault, job_id=job_id, size=size)
    assert await asyncio.to_thread(file.read) == content
    for place in (0, 1, size // 2, max(size - 3, 0)):
        await asyncio.to_thread(file.seek, place)
        assert await asyncio.to_thread(file.read, 2500) == content[place : place + 2500]
    await asyncio.to_thread(file.seek, -min(size, 5), io.SEEK_END)
    assert await asyncio.to_thread(file.read) == content[size - min(size, 5) :]
    assert file.tell() == size


async def test_a_zip_is_read_out_of_it(services: Services, job_id: UUID) -> None:
    files = {f"{number}.jpg": random.Random(number).randbytes(900) for number in range(20)}  # noqa: S311
    archive = zip_of(files)
    await store(services, job_id, archive)
    file = stored_upload(services.database, services.vault, job_id=job_id, size=len(archive))

    def read() -> dict[str, bytes]:
        with zipfile.ZipFile(file) as opened:
            return {name: opened.read(name) for name in opened.namelist()}

    assert await asyncio.to_thread(read) == files


async def test_one_that_is_gone(services: Services, job_id: UUID) -> None:
    file = stored_upload(services.database, services.vault, job_id=job_id, size=10)
    with pytest.raises(LookupError):
        await asyncio.to_thread(file.read)


async def test_a_connection_that_is_cut_ends_no_reading(
    services: Services, job_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(250)) * (3 * PART_BYTES // 250)
    await store(services, job_id, content)
    snapshot, to_be_cut = services.database.snapshot, [True, False, True]

    @asynccontextmanager
    async def cut_now_and_then() -> AsyncIterator[AsyncSession]:
        async with snapshot() as session:
            if to_be_cut and to_be_cut.pop(0):
                pid = await session.scalar(text("SELECT pg_backend_pid()"))
                with psycopg.connect(services.database.address) as connection:
                    connection.execute("SELECT pg_terminate_backend(%s)", [pid])
            yield session

    monkeypatch.setattr(services.database, "snapshot", cut_now_and_then)
    monkeypatch.setattr(module, "TRY_AGAIN_AFTER_S", 0.05)
    file = stored_upload(services.database, services.vault, job_id=job_id, size=len(content))
    assert await asyncio.to_thread(file.read) == content
    assert not to_be_cut
