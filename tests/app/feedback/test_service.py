import asyncio
import os
from collections.abc import AsyncIterator
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import make_url, select

from app.database import Database
from app.feedback.sealing import Sealer
from app.feedback.service import KEY_NAME, open_sealer
from app.tables import SecretRow
from benchmarks.vaults import made_vault
from vault.vault import KEY_BYTES, Vault

NET = "0f3a" * 16


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    database = Database.connect(url, pool_size=8)
    yield database
    await database.close()


@pytest.fixture
def vault(database_url: str) -> Vault:
    return made_vault(database_url, bytes(KEY_BYTES))


async def stored_key(database: Database) -> bytes:
    async with database.transaction() as session:
        return (await session.scalars(select(SecretRow.value))).one()


async def test_all_services_on_a_database_share_the_key_and_keep_it(
    database: Database, vault: Vault
) -> None:
    at_once = await asyncio.gather(*(open_sealer(database, vault) for _ in range(8)))
    later = await open_sealer(database, vault)
    template = np.array([0.6, 0.8], np.float32)
    for sealer in at_once:
        collection_id = uuid4()
        assert (
            later.open(sealer.seal(collection_id, template, NET), [NET]).collection_id
            == collection_id
        )


async def test_a_key_that_was_stored_as_it_is_becomes_sealed(
    database: Database, vault: Vault
) -> None:
    plain = os.urandom(KEY_BYTES)
    async with database.transaction() as session:
        session.add(SecretRow(name=KEY_NAME, value=plain))
    template = np.array([0.6, 0.8], np.float32)
    earlier = Sealer(plain).seal(uuid4(), template, NET)
    at_once = await asyncio.gather(*(open_sealer(database, vault) for _ in range(4)))
    stored = await stored_key(database)
    assert plain not in stored
    for sealer in (*at_once, await open_sealer(database, vault)):
        np.testing.assert_allclose(sealer.open(earlier, [NET]).template, template, atol=1e-3)
    assert await stored_key(database) == stored
