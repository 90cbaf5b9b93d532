import asyncio
import os
from pathlib import Path

import pytest
from sqlalchemy import text

from app.database import Database
from app.encryption import following, repository
from app.encryption.following import following_keys
from app.encryption.service import master_key, open_vault
from app.logs import configure_logs
from app.settings import Settings
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
        assert vault.key_ids == frozenset({1, 2})
        # One that was made with another master key can't be learned; what is held stays.
        async with database.transaction() as session:
            wrapped = wrap(bytes(KEY_BYTES), 3, os.urandom(KEY_BYTES))
            await repository.insert_data_key(session, 3, wrapped)
        await asyncio.sleep(0.3)
        assert vault.current == 2
        async with database.transaction() as session:
            await session.execute(text("DELETE FROM data_keys WHERE id IN (1, 3)"))
        async with asyncio.timeout(10):
            while vault.key_ids != frozenset({2}):
                await asyncio.sleep(0.01)
