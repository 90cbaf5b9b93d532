from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url

from app.database import Database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    database = Database.connect(url, pool_size=2)
    yield database
    await database.close()
