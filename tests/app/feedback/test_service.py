import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import make_url

from app.database import Database
from app.feedback.service import open_sealer


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    database = Database.connect(url, pool_size=8)
    yield database
    await database.close()


async def test_all_services_on_a_database_share_the_key_and_keep_it(database: Database) -> None:
    at_once = await asyncio.gather(*(open_sealer(database) for _ in range(8)))
    later = await open_sealer(database)
    template = np.array([0.6, 0.8], np.float32)
    for sealer in at_once:
        collection_id = uuid4()
        assert later.open(sealer.seal(collection_id, template)).collection_id == collection_id
