"""Changes are announced when they are committed, and only then."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from app.announcements import Announcement, announce
from app.database import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    database = Database.connect(url, pool_size=2)
    yield database
    await database.close()


async def test_what_is_committed_is_announced_after_it(database: Database) -> None:
    heard: list[Announcement] = []
    database.announce = heard.append
    collection_id = uuid4()
    async with database.transaction() as session:
        announce(session, collection_id, 7)
        announce(session, collection_id)
        assert heard == []
    assert heard == [Announcement(collection_id, 7), Announcement(collection_id, None)]
    async with database.transaction():
        pass
    assert len(heard) == 2


async def test_what_is_rolled_back_is_not(database: Database) -> None:
    heard: list[Announcement] = []
    database.announce = heard.append

    async def fail() -> None:
        async with database.transaction() as session:
            announce(session, uuid4(), 7)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert heard == []
