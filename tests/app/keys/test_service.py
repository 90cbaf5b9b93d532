import os
import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from app.database import Database
from app.keys import service
from app.keys.caller import Scope
from app.keys.ring import KeyRing
from app.problems import InvalidKey
from app.tables import ApiKeyRow, CollectionRow


async def make_collections(database: Database, *names: str) -> None:
    async with database.transaction() as session:
        session.add_all(
            CollectionRow(name=name, embedder_name="x", embedder_sha256="y") for name in names
        )


async def test_a_key_is_shown_once_and_only_its_hash_is_kept(database: Database) -> None:
    token, key = await service.create_key(database, name="door", scopes=["identify", "enroll"])

    assert re.fullmatch(rf"cohort_{key.key_id}_[\w-]{{43}}", token)
    assert (key.name, key.scopes, key.revoked_at) == ("door", ("enroll", "identify"), None)
    assert await service.list_keys(database) == [key]
    async with database.transaction() as session:
        row = await session.get(ApiKeyRow, key.key_id)
    assert row is not None
    assert len(row.token_sha256) == 32
    assert token.encode() not in row.token_sha256


async def test_an_unknown_key_can_t_be_revoked(database: Database) -> None:
    with pytest.raises(service.KeyNotFound):
        await service.revoke_key(database, key_id="00000000")


async def test_a_key_has_the_collections_the_rate_and_the_end_that_it_was_given(
    database: Database,
) -> None:
    await make_collections(database, "staff", "guests")
    _, key = await service.create_key(
        database,
        name="door",
        scopes=["identify"],
        collections=["staff", "guests", "staff"],
        rate_limit="10/second",
        expires=timedelta(days=90),
    )
    assert key.collections == ("guests", "staff")
    assert key.rate_limit == "10/second"
    assert key.expires_at == key.created_at + timedelta(days=90)
    assert await service.list_keys(database) == [key]


async def test_a_key_is_for_collections_that_are_there(database: Database) -> None:
    await make_collections(database, "staff")
    with pytest.raises(service.UnknownCollections, match=r"^guests, house$"):
        await service.create_key(
            database, name="x", scopes=["identify"], collections=["house", "staff", "guests"]
        )
    with pytest.raises(ValueError, match="collection"):
        await service.create_key(database, name="x", scopes=["identify"], collections=[])
    with pytest.raises(ValueError, match="600/minute"):
        await service.create_key(database, name="x", scopes=["identify"], rate_limit="much")
    assert await service.list_keys(database) == []


async def test_a_rotated_key_is_followed_by_one_with_the_same_rights(database: Database) -> None:
    await make_collections(database, "staff")
    token, key = await service.create_key(
        database,
        name="door",
        scopes=["identify", "enroll"],
        collections=["staff"],
        rate_limit="10/second",
        expires=timedelta(days=90),
    )
    new_token, new, old = await service.rotate_key(
        database, key_id=key.key_id, overlap=timedelta(hours=24)
    )

    assert (new.name, new.scopes, new.collections, new.rate_limit) == (
        key.name,
        key.scopes,
        key.collections,
        key.rate_limit,
    )
    assert new.expires_at is not None
    assert new.expires_at - new.created_at == timedelta(days=90)
    assert old.expires_at == new.created_at + timedelta(hours=24)
    assert await service.list_keys(database) == [old, new]
    ring = KeyRing(database, cache_s=0)
    for each in (token, new_token):
        await ring.authenticate(f"Bearer {each}")


async def test_an_overlap_lengthens_no_life(database: Database) -> None:
    soon = timedelta(minutes=1)
    token, key = await service.create_key(database, name="x", scopes=["identify"], expires=soon)
    _, _, old = await service.rotate_key(database, key_id=key.key_id, overlap=timedelta(days=1))
    assert old.expires_at == key.expires_at
    *_, old = await service.rotate_key(database, key_id=key.key_id, overlap=timedelta())
    with pytest.raises(InvalidKey):
        await KeyRing(database, cache_s=0).authenticate(f"Bearer {token}")


async def test_only_a_key_that_works_can_be_rotated(database: Database) -> None:
    day = timedelta(days=1)
    with pytest.raises(service.KeyNotFound):
        await service.rotate_key(database, key_id="00000000", overlap=day)
    _, revoked = await service.create_key(database, name="x", scopes=["identify"])
    await service.revoke_key(database, key_id=revoked.key_id)
    _, over = await service.create_key(
        database, name="x", scopes=["identify"], expires=timedelta(0)
    )
    for key in (revoked, over):
        with pytest.raises(service.KeyUnusable):
            await service.rotate_key(database, key_id=key.key_id, overlap=day)


@pytest.mark.parametrize("scopes", [[], ["all"], ["identify", "all"]])
async def test_scopes_must_be_known(database: Database, scopes: Sequence[Scope]) -> None:
    with pytest.raises(ValueError, match="scopes"):
        await service.create_key(database, name="x", scopes=scopes)


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
    said = capsys.readouterr().out
    assert said.count(str(tmp_path / "admin.key")) == 1
    assert "cohort_" not in said


async def test_an_admin_key_is_shown_at_a_terminal_alone(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, end = os.openpty()
    with os.fdopen(end, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        await service.ensure_admin_key(database, data_dir=tmp_path)
        monkeypatch.undo()
        said = os.read(terminal, 1000).decode()
    os.close(terminal)
    assert said.count((tmp_path / "admin.key").read_text().strip()) == 1


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
        ("post", "/enroll/batch"): "enroll",
        ("get", "/enroll/batch/{job_id}"): "enroll",
        ("get", "/enroll/batch/{job_id}/items"): "enroll",
        ("delete", "/enroll/batch/{job_id}"): "enroll",
        ("post", "/identify/batch"): "identify",
        ("get", "/identify/batch/{job_id}"): "identify",
        ("get", "/identify/batch/{job_id}/items"): "identify",
        ("delete", "/identify/batch/{job_id}"): "identify",
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
        ("get", "/metrics"): "metrics",
        ("get", "/admin/audit"): "admin",
        ("get", "/admin/audit/export"): "admin",
        ("post", "/collections"): "admin",
        ("patch", "/collections/{name}"): "admin",
        ("delete", "/collections/{name}"): "admin",
        ("post", "/admin/collections/{name}/switch"): "admin",
        ("delete", "/collections/{name}/pictures"): "admin",
        ("get", "/subjects/{subject_id}/samples/{sample_id}/picture"): "enroll",
    }
    operations = {
        (method, path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if path not in ("/healthz", "/readyz", "/version")
    }
    assert operations == needed.keys()
    held: Scope
    for held in ("identify", "enroll", "metrics"):
        token, _ = await service.create_key(database, name=held, scopes=[held])
        headers = {"Authorization": f"Bearer {token}"}
        for (method, path), scope in needed.items():
            answer = await client.request(method, path, headers=headers)
            assert (answer.status_code == 403) is (scope != held), (method, path, answer.text)
