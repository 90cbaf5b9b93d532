"""Templates that were stored before there was a vault."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select, text, update

from app.database import Database
from app.encryption import plain
from app.encryption.contents import FEEDBACKS, SAMPLES, TEMPLATES, VARIANTS, SealedColumn
from app.encryption.plain import seal_what_is_plain
from app.encryption.service import open_vault
from app.settings import Settings
from app.tables import FeedbackRow, SampleRow, VariantRow
from tests.app.encryption.conftest import contents_of, data_keys_in_use, store_everything
from vault.vault import Vault

DIMENSION = 8


@pytest.fixture
async def vault(database: Database, tmp_path: Path) -> Vault:
    return await open_vault(database, Settings(data_dir=tmp_path))


def template() -> bytes:
    return np.random.default_rng(1).normal(size=DIMENSION).astype("<f4").tobytes()


async def make_plain(database: Database) -> None:
    async with database.transaction() as session:
        for table in (SampleRow, VariantRow, FeedbackRow):
            await session.execute(update(table).values(template=template()))


async def test_what_is_plain_is_sealed_once(database: Database, vault: Vault) -> None:
    await store_everything(database, vault, samples=5)
    await make_plain(database)
    assert None in await data_keys_in_use(database)
    await seal_what_is_plain(database, vault)
    assert await data_keys_in_use(database) == {1}
    for column, count in ((SAMPLES, 5), (VARIANTS, 1), (FEEDBACKS, 1)):
        assert await contents_of(database, column, vault) == [template()] * count

    async def stored() -> list[bytes]:
        async with database.snapshot() as session:
            return list(await session.scalars(select(SampleRow.template).order_by(SampleRow.id)))

    before = await stored()
    await seal_what_is_plain(database, vault)
    assert await stored() == before


async def test_it_goes_on_where_it_was_ended(
    database: Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store_everything(database, vault, samples=40)
    await make_plain(database)
    few = SealedColumn(SAMPLES.content, SAMPLES.bound_by, SAMPLES.binding, rows_at_once=3)
    monkeypatch.setattr(plain, "TEMPLATES", (few, *TEMPLATES[1:]))
    sealing = asyncio.create_task(seal_what_is_plain(database, vault))
    while 1 not in await data_keys_in_use(database):
        await asyncio.sleep(0)
    sealing.cancel()
    await asyncio.gather(sealing, return_exceptions=True)
    # Several replicas start at once, and each finds nothing plain when it goes on.
    await asyncio.gather(*(seal_what_is_plain(database, vault) for _ in range(4)))
    assert await data_keys_in_use(database) == {1}
    assert await contents_of(database, SAMPLES, vault) == [template()] * 40


async def test_a_picture_that_is_added_meanwhile_does_not_leave_its_sample_out(
    database: Database, vault: Vault
) -> None:
    await store_everything(database, vault)
    await make_plain(database)
    async with database.transaction() as session:
        # As storing a row that refers to the sample does.
        await session.execute(text("SELECT FROM samples FOR KEY SHARE"))
        await asyncio.wait_for(seal_what_is_plain(database, vault), 10)
    assert await data_keys_in_use(database) == {1}


async def test_what_is_no_template_is_left(database: Database, vault: Vault) -> None:
    await store_everything(database, vault)
    async with database.transaction() as session:
        await session.execute(update(VariantRow).values(template=b"broken"))
    await seal_what_is_plain(database, vault)
    async with database.snapshot() as session:
        assert list(await session.scalars(select(VariantRow.template))) == [b"broken"]
