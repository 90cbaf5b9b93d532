import asyncio

import pytest

from app.database import Database
from app.keys import service, uses
from app.keys.uses import opened_key_ring
from app.logs import configure_logs


async def test_last_uses_are_written_now_and_then_and_at_the_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uses, "WRITE_EVERY_S", 0.05)
    tokens = [
        (await service.create_key(database, name=name, scopes=["identify"]))[0] for name in "ab"
    ]
    async with opened_key_ring(database, cache_s=60) as keys:
        await keys.authenticate(f"Bearer {tokens[0]}")
        async with asyncio.timeout(20):
            while (await service.list_keys(database))[0].last_used_at is None:
                await asyncio.sleep(0.05)
        _, second = await service.list_keys(database)
        assert second.last_used_at is None
        monkeypatch.setattr(uses, "WRITE_EVERY_S", 60)
        await asyncio.sleep(0.1)
        await keys.authenticate(f"Bearer {tokens[1]}")
    _, second = await service.list_keys(database)
    assert second.last_used_at is not None


async def test_what_can_t_be_written_is_lost_and_said(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("INFO")
    token, _ = await service.create_key(database, name="x", scopes=["identify"])
    async with opened_key_ring(database, cache_s=60) as keys:
        await keys.authenticate(f"Bearer {token}")
        monkeypatch.setattr(keys, "_used", {"\0": "no time"})
    assert "last_uses_lost" in capsys.readouterr().err
