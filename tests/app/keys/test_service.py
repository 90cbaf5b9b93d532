import os
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy import make_url

from app.database import Database
from app.keys import repository, service
from app.keys.service import Caller, KeyRing, Scope
from app.problems import InvalidKey, MissingKey, MissingScope

CACHE_S = 60.0


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    database = Database.connect(url, pool_size=2)
    yield database
    await database.close()


async def test_a_key_is_shown_once_and_only_its_hash_is_kept(database: Database) -> None:
    token, key = await service.create_key(database, name="door", scopes=["identify", "enroll"])

    assert re.fullmatch(rf"cohort_{key.key_id}_[\w-]{{43}}", token)
    assert (key.name, key.scopes, key.revoked_at) == ("door", ("enroll", "identify"), None)
    assert await service.list_keys(database) == [key]
    async with database.transaction() as session:
        row = await repository.find(session, key.key_id)
    assert row is not None
    assert len(row.token_sha256) == 32
    assert token.encode() not in row.token_sha256


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
    other = "cohort_00000000_" + token.rsplit("_", 1)[1]
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
    monkeypatch.setattr(service, "MAX_CACHED_KEYS", 10)
    ring = KeyRing(database, cache_s=CACHE_S)
    for number in range(25):
        with pytest.raises(InvalidKey):
            await ring.authenticate(f"Bearer cohort_{number:08x}_{'x' * 43}")
    assert len(ring._cache) <= 10


async def test_an_unknown_key_can_t_be_revoked(database: Database) -> None:
    with pytest.raises(service.KeyNotFound):
        await service.revoke_key(database, key_id="00000000")


@pytest.mark.parametrize("scopes", [[], ["all"], ["identify", "all"]])
async def test_scopes_must_be_known(database: Database, scopes: Sequence[Scope]) -> None:
    with pytest.raises(ValueError, match="scopes"):
        await service.create_key(database, name="x", scopes=scopes)


@pytest.mark.parametrize(
    ("held", "needed", "may"),
    [
        ("identify", "identify", True),
        ("identify", "enroll", False),
        ("enroll", "identify", False),
        ("enroll", "admin", False),
        ("admin", "identify", True),
        ("admin", "enroll", True),
    ],
)
def test_what_a_scope_allows(held: str, needed: Scope, may: bool) -> None:
    caller = Caller("1", frozenset({held}))
    if may:
        caller.require(needed)
        return
    with pytest.raises(MissingScope) as caught:
        caller.require(needed)
    assert caught.value.extra == {"required_scope": needed}


async def test_an_admin_key_is_made_once_even_if_revoked(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await service.ensure_admin_key(database, data_dir=tmp_path)
    (key,) = await service.list_keys(database)
    await service.revoke_key(database, key_id=key.key_id)
    (tmp_path / "admin.key").unlink()
    await service.ensure_admin_key(database, data_dir=tmp_path)
    assert len(await service.list_keys(database)) == 1
    assert not (tmp_path / "admin.key").exists()
    assert capsys.readouterr().out.count("cohort_") == 1


async def test_an_admin_key_of_an_older_database_is_replaced(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "admin.key").write_text("old")
    (tmp_path / "admin.key").chmod(0o644)
    await service.ensure_admin_key(database, data_dir=tmp_path)
    assert (tmp_path / "admin.key").read_text().startswith("cohort_")
    assert (tmp_path / "admin.key").stat().st_mode & 0o777 == 0o600


async def test_the_admin_key_s_file_is_on_the_disk_before_the_key_counts(
    database: Database, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    really_sync = os.fsync

    def sync(descriptor: int) -> None:
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT FROM api_keys").fetchall() == []
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    data_dir = tmp_path / "new" / "data"
    await service.ensure_admin_key(database, data_dir=data_dir)
    assert synced == [data_dir / "admin.new", data_dir, data_dir.parent, tmp_path]


async def test_scopes_hold_on_every_route(app: FastAPI, client: AsyncClient) -> None:
    """Reading and asking needs identify, changing subjects enroll, changing collections admin."""
    database = app.state.services.database
    needed: dict[tuple[str, str], Scope] = {
        ("post", "/identify"): "identify",
        ("post", "/detect"): "identify",
        ("post", "/verify"): "identify",
        ("get", "/subjects"): "identify",
        ("get", "/subjects/{subject_id}"): "identify",
        ("get", "/collections"): "identify",
        ("get", "/collections/{name}"): "identify",
        ("post", "/enroll"): "enroll",
        ("patch", "/subjects/{subject_id}"): "enroll",
        ("delete", "/subjects/{subject_id}"): "enroll",
        ("delete", "/subjects/{subject_id}/samples/{sample_id}"): "enroll",
        ("get", "/subjects/{subject_id}/feedback"): "identify",
        ("post", "/subjects/{subject_id}/feedback"): "enroll",
        ("delete", "/subjects/{subject_id}/feedback/{feedback_id}"): "enroll",
        ("post", "/admin/retrain"): "admin",
        ("get", "/admin/jobs"): "admin",
        ("get", "/admin/jobs/{job_id}"): "admin",
        ("get", "/admin/jobs/{job_id}/events"): "admin",
        ("delete", "/admin/jobs/{job_id}"): "admin",
        ("get", "/admin/bundles"): "admin",
        ("get", "/admin/bundles/{bundle_id}"): "admin",
        ("get", "/admin/bundles/{bundle_id}/report"): "admin",
        ("post", "/admin/bundles/{bundle_id}/activate"): "admin",
        ("delete", "/admin/bundles/{bundle_id}"): "admin",
        ("get", "/admin/erasures"): "admin",
        ("get", "/admin/erasures/{erasure_id}"): "admin",
        ("post", "/collections"): "admin",
        ("delete", "/collections/{name}"): "admin",
    }
    operations = {
        (method, path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if path not in ("/healthz", "/readyz", "/version")
    }
    assert operations == needed.keys()
    for held in ("identify", "enroll"):
        token, _ = await service.create_key(database, name=held, scopes=[held])
        headers = {"Authorization": f"Bearer {token}"}
        for (method, path), scope in needed.items():
            answer = await client.request(method, path, headers=headers)
            assert (answer.status_code == 403) is (scope != held), (method, path, answer.text)
