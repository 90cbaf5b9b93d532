import asyncio
from datetime import UTC, datetime, timedelta
from time import perf_counter

import psycopg
import pytest
from sqlalchemy import make_url, text

from app.database import Database
from app.keys import ring as rings
from app.keys import service
from app.keys.caller import Caller
from app.keys.ring import KeyRing
from app.problems import InvalidKey, MissingKey

CACHE_S = 60.0


async def test_a_key_tells_who_calls(database: Database) -> None:
    token, key = await service.create_key(database, name="door", scopes=["identify"])
    ring = KeyRing(database, cache_s=CACHE_S)
    for header in (f"Bearer {token}", f"bearer {token}", f"Bearer  {token} "):
        assert await ring.authenticate(header) == Caller(key.key_id, frozenset({"identify"}))


@pytest.mark.parametrize("header", [None, "", "Basic dTpw", "cohort_12345678_x"])
async def test_without_a_key(database: Database, header: str | None) -> None:
    with pytest.raises(MissingKey):
        await KeyRing(database, cache_s=CACHE_S).authenticate(header)


async def test_a_wrong_key(database: Database) -> None:
    token, key = await service.create_key(database, name="door", scopes=["identify"])
    ring = KeyRing(database, cache_s=CACHE_S)
    other = "cohort_00000000_" + token.split("_", 2)[2]
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    for wrong in ("", "x", other, changed, token + "x", token.replace("cohort_", "")):
        with pytest.raises(InvalidKey):
            await ring.authenticate(f"Bearer {wrong}")
    assert (await ring.authenticate(f"Bearer {token}")).key_id == key.key_id


async def test_a_revoked_key_works_no_longer_than_the_cache_remembers(database: Database) -> None:
    token, key = await service.create_key(database, name="door", scopes=["identify"])
    remembering, forgetting = (KeyRing(database, cache_s=each) for each in (CACHE_S, 0))
    for ring in (remembering, forgetting):
        await ring.authenticate(f"Bearer {token}")

    await service.revoke_key(database, key_id=key.key_id)

    await remembering.authenticate(f"Bearer {token}")
    with pytest.raises(InvalidKey):
        await forgetting.authenticate(f"Bearer {token}")
    (listed,) = await service.list_keys(database)
    await service.revoke_key(database, key_id=key.key_id)
    assert listed.revoked_at is not None
    assert await service.list_keys(database) == [listed]


async def test_guesses_do_not_fill_the_memory(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "MAX_CACHED_KEYS", 10)
    ring = KeyRing(database, cache_s=CACHE_S)
    for number in range(25):
        with pytest.raises(InvalidKey):
            await ring.authenticate(f"Bearer cohort_{number:08x}_{'x' * 43}")
    assert len(ring._cache) <= 10


async def test_a_key_tells_what_it_is_good_for(database: Database) -> None:
    with psycopg.connect(database.address) as connection:
        connection.execute(
            "INSERT INTO collections (id, name, embedder_name, embedder_sha256, revision)"
            " VALUES (gen_random_uuid(), 'staff', 'x', 'y', 0)"
        )
    token, key = await service.create_key(
        database, name="x", scopes=["identify"], collections=["staff"], rate_limit="5/second"
    )
    caller = await KeyRing(database, cache_s=CACHE_S).authenticate(f"Bearer {token}")
    assert caller == Caller(key.key_id, frozenset({"identify"}), frozenset({"staff"}), "5/second")


async def test_a_key_expires_to_the_moment_whatever_is_remembered(database: Database) -> None:
    token, key = await service.create_key(
        database, name="x", scopes=["identify"], expires=timedelta(seconds=3)
    )
    assert key.expires_at is not None
    ring = KeyRing(database, cache_s=CACHE_S)
    await ring.authenticate(f"Bearer {token}")
    await asyncio.sleep((key.expires_at - datetime.now(UTC)).total_seconds() + 0.1)
    for each in (ring, KeyRing(database, cache_s=CACHE_S)):
        with pytest.raises(InvalidKey):
            await each.authenticate(f"Bearer {token}")


async def test_a_wrong_secret_is_looked_up_like_an_unknown_id(database: Database) -> None:
    """However often the right one was used: what is remembered must not tell which ids exist."""
    token, _ = await service.create_key(database, name="x", scopes=["identify"])
    ring = KeyRing(database, cache_s=CACHE_S)
    await ring.authenticate(f"Bearer {token}")
    looked_up: list[str] = []
    really = ring._look_up

    async def look_up(key_id: str, sent: bytes) -> object:
        looked_up.append(key_id)
        return await really(key_id, sent)

    ring._look_up = look_up  # type: ignore[assignment, method-assign]
    wrong_secret = token[:-1] + ("A" if token[-1] != "A" else "B")
    unknown_id = f"cohort_00000000_{'x' * 43}"
    for wrong in (wrong_secret, unknown_id) * 3:
        with pytest.raises(InvalidKey):
            await ring.authenticate(f"Bearer {wrong}")
    assert looked_up == [token.split("_")[1], "00000000"]
    assert ring.knows(f"Bearer {token}")
    assert not ring.knows(f"Bearer {wrong_secret}")
    assert not ring.knows(None)


async def test_guesses_leave_connections_to_others(database: Database) -> None:
    ring = KeyRing(database, cache_s=CACHE_S)
    at_once = most = 0
    really = ring._look_up

    async def look_up(key_id: str, sent: bytes) -> object:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return await really(key_id, sent)
        finally:
            at_once -= 1

    ring._look_up = look_up  # type: ignore[assignment, method-assign]
    guesses = [f"Bearer cohort_{number:08x}_{'x' * 43}" for number in range(50)]
    results = await asyncio.gather(
        *(ring.authenticate(guess) for guess in guesses), return_exceptions=True
    )
    assert {type(result) for result in results} == {InvalidKey}
    assert most == rings.LOOKUPS_AT_ONCE


async def test_guesses_do_not_push_out_a_key_that_is_valid(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "MAX_CACHED_KEYS", 10)
    token, _ = await service.create_key(database, name="x", scopes=["identify"])
    ring = KeyRing(database, cache_s=CACHE_S)
    await ring.authenticate(f"Bearer {token}")
    for number in range(25):
        with pytest.raises(InvalidKey):
            await ring.authenticate(f"Bearer cohort_{number:08x}_{'x' * 43}")
    assert ring.knows(f"Bearer {token}")


async def test_the_last_use_is_written_aside(database: Database) -> None:
    token, key = await service.create_key(database, name="x", scopes=["identify"])
    ring = KeyRing(database, cache_s=CACHE_S)
    await ring.authenticate(f"Bearer {token}")
    (before,) = await service.list_keys(database)
    assert before.last_used_at is None

    await ring.write_last_uses()

    (after,) = await service.list_keys(database)
    assert after.last_used_at is not None
    assert timedelta() <= after.last_used_at - after.created_at < timedelta(minutes=1)
    # Another replica that has seen an earlier use does not turn the time back.
    other = KeyRing(database, cache_s=CACHE_S)
    other._used = {key.key_id: after.last_used_at - timedelta(days=1)}
    await other.write_last_uses()
    assert await service.list_keys(database) == [after]


async def test_a_key_goes_on_while_the_database_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = await service.create_key(database, name="x", scopes=["identify"])
    other, _ = await service.create_key(database, name="y", scopes=["identify"])
    ring = KeyRing(database, cache_s=0.0)
    known = await ring.authenticate(f"Bearer {token}")

    nowhere = Database.connect(make_url("postgresql+psycopg://x:x@127.0.0.1:1/none"), pool_size=1)
    monkeypatch.setattr(ring, "_database", nowhere)
    began = perf_counter()
    for _ in range(3):
        assert await ring.authenticate(f"Bearer {token}") == known
    assert perf_counter() - began < 3 * rings.PATIENCE_S + 1
    # One that was never seen here can't be told from a wrong one.
    with pytest.raises(rings._DATABASE_AWAY):
        await ring.authenticate(f"Bearer {other}")
    # Nor is one taken for ever.
    monkeypatch.setattr(rings, "AWAY_S", -1.0)
    with pytest.raises(rings._DATABASE_AWAY):
        await ring.authenticate(f"Bearer {token}")
    await nowhere.close()


async def test_a_slow_database_is_not_waited_for_and_yet_heard(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rings, "PATIENCE_S", 0.05)
    token, key = await service.create_key(database, name="x", scopes=["identify"])
    ring = KeyRing(database, cache_s=0.0)
    known = await ring.authenticate(f"Bearer {token}")
    await service.revoke_key(database, key_id=key.key_id)
    async with database.transaction() as session:
        await session.execute(text("LOCK TABLE api_keys"))
        assert await ring.authenticate(f"Bearer {token}") == known
    await ring.close()
    assert not ring.knows(f"Bearer {token}")
    with pytest.raises(InvalidKey):
        await ring.authenticate(f"Bearer {token}")
