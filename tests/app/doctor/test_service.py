"""Each fault is made for real, and found."""

import asyncio
import os
import resource
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from pydantic import SecretStr
from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from app.audit.entry import Entry
from app.audit.spool import Spool
from app.doctor import database, machine, nets
from app.doctor.findings import Finding, State
from app.doctor.machine import look_at_key_place
from app.doctor.service import examine
from app.jobs.queue import BATCHES
from app.settings import Settings
from models.weights import DEFAULT_EMBEDDER, MTCNN_FOLDER
from tests.app.bundles.conftest import Publish

NOWHERE = 9
"""A port on which nobody listens."""


class Examined:
    """What was found, by what was looked at."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        self.by_check: defaultdict[str, list[Finding]] = defaultdict(list)
        for finding in findings:
            self.by_check[finding.check].append(finding)

    def one(self, check: str, state: State) -> Finding:
        """The only finding of a check in some state."""
        (found,) = [each for each in self.by_check[check] if each.state == state]
        assert state == "ok" or found.advice
        return found

    @property
    def failed(self) -> list[str]:
        return [each.check for each in self.findings if each.state == "failed"]


async def examined(settings: Settings, **changes: object) -> Examined:
    changed = settings.model_copy(update=changes)
    return Examined(await asyncio.to_thread(lambda: list(examine(changed))))


@pytest.fixture(autouse=True)
def in_use(app: FastAPI) -> FastAPI:
    """A service runs meanwhile, on the same database and data directory."""
    return app


async def test_a_sound_service_is_found_sound_and_goes_on(
    client: AsyncClient,
    settings: Settings,
    redis_url: str,
    database_url: str,
    picture: Callable[[str], bytes],
) -> None:
    await client.post("/enroll", files={"images": picture("obama")})
    with psycopg.connect(database_url) as connection:
        before = connection.execute("SELECT count(*), max(revision) FROM changes").fetchall()
    worker = SimpleWorker(
        [BATCHES], connection=Redis.from_url(redis_url), serializer=JSONSerializer
    )
    worker.register_birth()
    found, answer = await asyncio.gather(
        examined(settings, redis_url=SecretStr(redis_url)),
        client.post("/identify", files={"image": picture("obama2")}),
    )

    assert found.failed == []
    assert answer.json()["faces"][0]["decision"] == "match"
    assert "PostgreSQL" in found.by_check["database"][0].text
    assert [each.state for each in found.by_check["clock"]] == ["ok", "ok"]
    assert BATCHES in found.one("workers", "ok").text
    assert found.one("migrations", "ok")
    assert found.one("encryption key", "ok").text.startswith("it opens the 1")
    assert "private" in found.one("permissions", "ok").text
    with psycopg.connect(database_url) as connection:
        after = connection.execute("SELECT count(*), max(revision) FROM changes").fetchall()
    assert after == before
    worker.register_death()


async def test_nothing_secret_is_said(settings: Settings, database_url: str) -> None:
    password = "hunter2hunter2"
    found = await examined(
        settings,
        database_url=SecretStr(f"postgresql://me:{password}@127.0.0.1:{NOWHERE}/x"),
        redis_url=SecretStr(f"redis://:{password}@127.0.0.1:{NOWHERE}/0"),
        bundle_store=SecretStr(f"nosuch://{password}@host/x"),
    )
    assert found.failed[:1] == ["database"]
    assert "redis" in found.failed
    key = (settings.data_dir / "encryption.key").read_text().strip()
    for secret in (password, key):
        assert secret not in str(found.findings)


async def test_a_data_directory_that_is_not_there(settings: Settings, tmp_path: Path) -> None:
    found = await examined(settings, data_dir=tmp_path / "elsewhere")
    assert "not there" in found.one("data directory", "warning").text
    assert found.one("encryption key", "failed")
    assert not (tmp_path / "elsewhere").exists()


@pytest.fixture
def nobody() -> Iterator[None]:
    """Be a user whom rights hold for."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_a_data_directory_of_others(tmp_path: Path, nobody: None) -> None:
    (finding,) = machine.look_at_data_directory(Settings(data_dir=Path("/usr/lib")))
    assert (finding.state, finding.check) == ("failed", "data directory")
    assert "denied" in finding.text


@pytest.mark.parametrize("name", ["admin.key", "encryption.key"])
async def test_a_key_that_others_can_read(settings: Settings, name: str) -> None:
    (settings.data_dir / name).chmod(0o644)
    found = await examined(settings)
    assert str(settings.data_dir / name) in found.one("permissions", "failed").text
    assert f"chmod 600 {settings.data_dir / name}" in found.one("permissions", "failed").advice


def test_a_key_beside_the_data_that_it_protects(settings: Settings) -> None:
    embedded = settings.model_copy(update={"database_url": None})
    assert [each.state for each in look_at_key_place(embedded)] == ["warning"]
    assert list(look_at_key_place(settings)) == []


@pytest.mark.parametrize(
    ("limit", "state"), [("FREE_FAILED_BYTES", "failed"), ("FREE_WARNING_BYTES", "warning")]
)
async def test_a_disk_that_is_full(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, limit: str, state: State
) -> None:
    monkeypatch.setattr(machine, limit, 2**60)
    assert "GiB are free" in (await examined(settings)).one("disk", state).text


@pytest.mark.parametrize(("limit", "state"), [(250, "failed"), (1000, "warning"), (4096, "ok")])
def test_few_descriptors(settings: Settings, limit: int, state: State) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        (finding,) = machine.look_at_descriptors(settings)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert finding.state == state
    assert str(limit) in finding.text


async def test_a_damaged_embedder(settings: Settings, tmp_path: Path) -> None:
    copy = tmp_path / "embedder"
    shutil.copytree(DEFAULT_EMBEDDER.parent, copy)
    (net,) = copy.glob("*.onnx")
    net.write_bytes(net.read_bytes()[:-1] + b"x")
    found = await examined(settings, embedder=copy / DEFAULT_EMBEDDER.name)
    assert found.failed[0] == "weights"
    assert net.name in found.one("weights", "failed").text


async def test_a_damaged_detector(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "mtcnn"
    shutil.copytree(MTCNN_FOLDER, copy)
    (copy / "onet.onnx").unlink()
    monkeypatch.setattr(nets, "MTCNN_FOLDER", copy)
    assert "onet.onnx" in (await examined(settings)).one("weights", "failed").text


def test_the_detector_s_checksums_are_those_of_its_provenance() -> None:
    provenance = (MTCNN_FOLDER / "README.md").read_text()
    for name, sha256 in nets.DETECTOR_SHA256.items():
        assert f"`{name}` | `{sha256}`" in provenance


async def test_a_provider_that_is_not_installed(settings: Settings) -> None:
    found = await examined(settings, provider="cuda")
    assert "onnxruntime-gpu" in found.one("weights", "failed").text


async def test_a_database_that_is_away(settings: Settings) -> None:
    url = SecretStr(f"postgresql://me@127.0.0.1:{NOWHERE}/x")
    found = await examined(settings, database_url=url)
    assert "refused" in found.one("database", "failed").text
    assert found.by_check["training"]  # what comes after is looked at, too


@pytest.fixture
def other_database(database_url: str) -> Iterator[str]:
    """An empty database on the same server."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE other")
        yield database_url.replace("/cohort?", "/other?")
        connection.execute("DROP DATABASE other WITH (FORCE)")


@pytest.mark.parametrize(
    ("revision", "state", "words"),
    [
        (None, "warning", "is empty"),
        ("0001", "warning", "an older version (0001)"),
        ("ffff", "failed", "another version of Cohort (ffff)"),
    ],
)
async def test_tables_of_another_version(
    settings: Settings, other_database: str, revision: str | None, state: State, words: str
) -> None:
    if revision is not None:
        with psycopg.connect(other_database) as connection:
            connection.execute("CREATE TABLE alembic_version (version_num text)")
            connection.execute("INSERT INTO alembic_version VALUES (%s)", (revision,))
    found = await examined(settings, database_url=SecretStr(other_database))
    assert words in found.one("migrations", state).text
    assert "encryption key" not in found.by_check


async def test_a_database_that_is_slow_old_or_small(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "SLOW_MS", 0)
    monkeypatch.setattr(database, "OLDEST_VERSION", 99)
    found = await examined(settings, database_pool_size=10_000)
    assert "answers in" in found.one("database", "warning").text
    old, small = (each.text for each in found.by_check["database"] if each.state == "failed")
    assert old.startswith("PostgreSQL")
    assert "connections are allowed" in small


@pytest.mark.parametrize(("ahead_s", "state"), [(5, "warning"), (-60, "failed")])
async def test_clocks_that_do_not_agree(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, ahead_s: float, state: State
) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + ahead_s)
    found = await examined(settings)
    assert "the database is" in found.one("clock", state).text


async def test_another_key_than_the_database_s(settings: Settings, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    other.write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
    other.chmod(0o600)
    found = await examined(settings, encryption_key_file=other)
    assert "not the one" in found.one("encryption key", "failed").text
    assert found.failed == ["encryption key"]
    other.chmod(0o644)
    found = await examined(settings, encryption_key_file=other)
    assert str(other) in found.one("permissions", "warning").text


async def test_a_collection_of_another_embedder(settings: Settings, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE collections SET embedder_sha256 = repeat('0', 64)")
    found = await examined(settings)
    assert "default was made with" in found.one("collections", "failed").text


async def test_a_bundle_with_a_changed_file(settings: Settings, publish: Publish) -> None:
    bundle_id = await publish(0.5)
    assert "can be opened" in (await examined(settings)).one("bundles", "ok").text
    means = settings.data_dir / "bundles" / bundle_id / "bundle" / "class_means.f16"
    means.write_bytes(means.read_bytes()[:-1] + b"x")
    assert "class_means.f16" in (await examined(settings)).one("bundles", "failed").text


async def test_a_bundle_that_only_the_store_has(
    settings: Settings, publish: Publish, tmp_path: Path, database_url: str
) -> None:
    bundle_id = await publish(0.5)
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO secrets VALUES ('bundle_store', '\\xabcd')")
    store = tmp_path / "store" / "abcd"
    shutil.copytree(settings.data_dir / "bundles" / bundle_id, store / bundle_id)
    shutil.rmtree(settings.data_dir / "bundles" / bundle_id)
    found = await examined(settings, bundle_store=SecretStr(f"file://{tmp_path}/store"))
    assert "holds 1 bundles" in found.one("bundle store", "ok").text
    assert "in the store" in found.one("bundles", "ok").text


async def test_a_store_that_can_t_be_used(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for url in ("nosuch://bucket", f"file://{tmp_path}/file/store"):
        assert (await examined(settings, bundle_store=SecretStr(url))).one("bundle store", "failed")


async def test_an_audit_log_that_can_be_changed(settings: Settings, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE audit DISABLE TRIGGER audit_only_grows")
    try:
        assert "switched off" in (await examined(settings)).one("audit", "failed").text
    finally:
        with psycopg.connect(database_url) as connection:
            connection.execute("ALTER TABLE audit ENABLE TRIGGER audit_only_grows")


async def test_audit_entries_that_wait(settings: Settings, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "other" / "audit")
    spool.append([Entry("r", "k", "identify", None, (), "match", 200, None)])
    found = await examined(settings, data_dir=tmp_path / "other")
    assert "wait on the disk" in found.one("audit", "warning").text
    spool.close()


async def test_a_job_that_nobody_begins(settings: Settings, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO jobs (id, collection_id, kind, state, progress, message, options, metrics,"
            " cancel_requested, created_at) SELECT gen_random_uuid(), id, 'enrolment', 'queued', 0,"
            " '', '{}', '{}', false, now() - interval '1 hour' FROM collections"
        )
    assert "1 have waited" in (await examined(settings)).one("jobs", "warning").text


async def test_redis_that_is_away_or_has_no_workers(settings: Settings, redis_url: str) -> None:
    away = SecretStr(f"redis://127.0.0.1:{NOWHERE}/0")
    assert (await examined(settings, redis_url=away)).one("redis", "failed")
    found = await examined(settings, redis_url=SecretStr(redis_url))
    assert "came back in" in found.by_check["redis"][1].text
    assert found.one("workers", "warning")


async def test_redis_that_carries_no_messages(
    settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Redis.from_url(redis_url) as connection:
        connection.acl_setuser(
            "mute", enabled=True, passwords=["+p"], categories=["+@all"], keys=["*"], reset=True
        )
    url = SecretStr(redis_url.replace("redis://", "redis://mute:p@"))
    assert (await examined(settings, redis_url=url)).one("redis", "failed")


@pytest.mark.parametrize(("share", "state"), [(None, "warning"), (0.1, "failed")])
async def test_an_interpreter_without_torch(
    settings: Settings, share: float | None, state: State
) -> None:
    found = await examined(settings, training_python="/bin/false", retrain_share=share)
    assert "no torch" in found.one("training", state).text
