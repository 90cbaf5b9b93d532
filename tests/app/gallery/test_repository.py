import asyncio
import gc

import pytest

from app.database import Database
from app.gallery import repository
from app.gallery.repository import load_subjects
from app.tables import CollectionRow
from tests.app.gallery.stored import VAULT, templates, write_subject


async def test_a_reading_that_is_cancelled_half_way_leaves_nothing_open(
    database: Database, collection: CollectionRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await write_subject(database, collection, templates(2))
    monkeypatch.setattr(repository, "ROWS_AT_ONCE", 2)
    begun = asyncio.Event()

    async def stand_still(*_: object) -> None:
        begun.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio, "to_thread", stand_still)

    async def read() -> None:
        async with database.snapshot() as session:
            await load_subjects(session, collection.id, VAULT, dimension=192)

    reading = asyncio.create_task(read())
    await begun.wait()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    del reading
    gc.collect()  # what is open still would warn now, which is an error here
    async with database.snapshot() as session:
        monkeypatch.undo()
        stored = await load_subjects(session, collection.id, VAULT, dimension=192)
    assert len(stored.templates) == 6
