import asyncio
import os
from pathlib import Path

import pytest
from sqlalchemy import select

from app.database import Database
from app.encryption import following, repository, rotation
from app.encryption.following import following_keys
from app.encryption.rotation import rotate
from app.encryption.service import master_key, open_vault
from app.gallery.repository import load_subjects
from app.logs import configure_logs
from app.settings import Settings
from app.tables import SubjectRow
from tests.app.encryption.conftest import store_everything
from vault.master import wrap
from vault.vault import KEY_BYTES, Vault


async def until_current(vault: Vault, key_id: int) -> None:
    async with asyncio.timeout(10):
        while vault.current != key_id:
            await asyncio.sleep(0.01)


async def test_a_new_data_key_is_learned_before_anything_is_read_with_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logs("INFO")
    monkeypatch.setattr(following, "POLL_S", 0.05)
    settings = Settings(data_dir=tmp_path)
    vault = await open_vault(database, settings)
    async with following_keys(vault, database):
        async with database.transaction() as session:
            wrapped = wrap(master_key(settings), 2, os.urandom(KEY_BYTES))
            await repository.insert_data_key(session, 2, wrapped)
        await until_current(vault, 2)
        # One that was made with another master key can't be learned; what is held stays.
        async with database.transaction() as session:
            wrapped = wrap(bytes(KEY_BYTES), 3, os.urandom(KEY_BYTES))
            await repository.insert_data_key(session, 3, wrapped)
        await asyncio.sleep(0.3)
        assert vault.current == 2


async def test_a_gallery_that_is_loaded_while_a_rotation_ends_is_whole(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL_S", 0.05)
    monkeypatch.setattr(rotation, "LEARNED_S", 0.3)
    settings = Settings(data_dir=tmp_path)
    vault = await open_vault(database, settings)
    subject = await store_everything(database, vault)
    async with following_keys(vault, database), database.snapshot() as session:
        # The view is from before the rotation, whose end takes the first key out of the table.
        found = await session.execute(
            select(SubjectRow.collection_id).where(SubjectRow.id == subject)
        )
        await rotate(database, master_key(settings), lambda _: None)
        await until_current(vault, 2)
        await asyncio.sleep(0.2)
        stored = await load_subjects(session, found.scalar_one(), vault, dimension=16)
    assert (len(stored.templates), len(stored.rejected[subject])) == (3, 1)
