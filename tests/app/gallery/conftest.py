"""A database with a collection, and the galleries of a process on it."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url

from app.collections.repository import insert_if_new
from app.database import Database
from app.gallery.service import Galleries
from app.tables import CollectionRow, DataKeyRow
from models.identifier import QueryPath
from models.zoo import EmbedderManifest
from tests.app.gallery.stored import VAULT, galleries_on


@pytest.fixture
def embedder(query_path: QueryPath) -> EmbedderManifest:
    return query_path.embedder.manifest


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    database = Database.connect(url, pool_size=2)
    async with database.transaction() as session:
        session.add(DataKeyRow(id=VAULT.current, wrapped=b""))
    yield database
    await database.close()


@pytest.fixture
async def collection(database: Database, embedder: EmbedderManifest) -> CollectionRow:
    async with database.transaction() as session:
        row = await insert_if_new(session, name="c", embedder=embedder)
    assert row is not None
    return row


@pytest.fixture
async def galleries(
    database: Database, embedder: EmbedderManifest, collection: CollectionRow
) -> Galleries:
    galleries = galleries_on(database, embedder)
    await galleries.refresh()
    return galleries


@pytest.fixture
async def wide_database(database_url: str, database: Database) -> AsyncIterator[Database]:
    """The same database, for more transactions at once."""
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    wide = Database.connect(url, pool_size=8)
    yield wide
    await wide.close()
