import asyncio
import gc

import pytest

from app.database import Database
from app.gallery import repository
from app.gallery.repository import load_subjects
from app.tables import CollectionRow
from tests.app.gallery.stored import VAULT, templates, write_subject


async def test_a_reading_may_be_cancelled_at_any_step(
    database: Database, collection: CollectionRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await write_subject(database, collection, templates(2))
    monkeypatch.setattr(repository, "SUBJECTS_AT_ONCE", 2)
    read = 0

    async def reading() -> None:
        nonlocal read
        async with database.snapshot() as session:
            stored = await load_subjects(session, collection.id, VAULT, dimension=192)
        read = len(stored.templates)

    steps = 0
    while not read:
        task = asyncio.create_task(reading())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        steps += 3
    gc.collect()  # what is open still would warn now, which is an error here
    assert read == 10
