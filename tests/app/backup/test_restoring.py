"""A backup of a running service, restored elsewhere: equal answers, or nothing at all."""

import asyncio
import shutil
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from alembic import command
from httpx import AsyncClient
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import URL, NullPool, create_engine, make_url

from app.backup.archive import BackupDamaged, BackupTooNew, OtherMasterKey
from app.backup.making import NothingToBackUp, Told, make_backup
from app.backup.receipts import read_receipts, receipt_lines
from app.backup.restoring import DatabaseNotEmpty, Restored, restore_backup
from app.bundles.files import BundleFiles
from app.embedded_postgres import EmbeddedPostgres
from app.encryption.service import master_key
from app.main import create_app
from app.migrate import migration_config
from app.services import Services
from app.settings import Settings
from models.identifier import QueryPath
from tests.app.backup.conftest import address_of
from tests.app.bundles.conftest import Publish
from tests.app.conftest import client_of
from tests.app.populate import drawn_templates, populate
from tests.app.subjects.test_service import Picture, enrol
from vault.vault import KEY_BYTES

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


def back_up(services: Services, path: Path) -> Told:
    return make_backup(
        services.database.address,
        lambda _: services.bundles.files,
        path,
        master_key=master_key(services.settings),
    )


@pytest.fixture
def elsewhere(services: Services, empty_database: URL, tmp_path: Path) -> Settings:
    """Settings of a service in another place, which has been given the key."""
    settings = services.settings
    there = tmp_path / "elsewhere"
    there.mkdir()
    shutil.copy(settings.data_dir / "encryption.key", there)
    shutil.copy(settings.data_dir / "admin.key", there)
    return Settings(data_dir=there, database_url=SecretStr(address_of(empty_database)))


async def restore(elsewhere: Settings, path: Path, **given: Any) -> Restored:
    address = elsewhere.database_url
    assert address is not None
    options: dict[str, Any] = {"master_key": master_key(elsewhere), "receipts": []}
    return await restore_backup(
        path,
        make_url(address.get_secret_value()).set(drivername="postgresql+psycopg"),
        BundleFiles(folder=elsewhere.data_dir / "bundles", subnet_memory_bytes=2**30, threads=1),
        **options | given,
    )


@asynccontextmanager
async def started(settings: Settings, query_path: QueryPath) -> AsyncIterator[AsyncClient]:
    app = create_app(settings, open_path=lambda _: query_path)
    async with app.router.lifespan_context(app), client_of(app, settings) as client:
        yield client


def contents(url: str) -> dict[str, list[Any]]:
    """All rows of all tables."""
    with psycopg.connect(url) as connection:
        return {
            table: sorted(
                map(
                    repr,
                    connection.execute(
                        sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))
                    ).fetchall(),
                )
            )
            for (table,) in connection.execute(TABLES).fetchall()
        }


def is_empty(elsewhere: Settings) -> bool:
    assert elsewhere.database_url is not None
    bundles = elsewhere.data_dir / "bundles"
    with psycopg.connect(elsewhere.database_url.get_secret_value()) as connection:
        tables = connection.execute(TABLES).fetchall()
    return not tables and not (bundles.exists() and list(bundles.iterdir()))


async def answers(client: AsyncClient, picture: Picture) -> list[Any]:
    """What is answered to some pictures, but for what is another each time."""
    found = []
    for name in ("obama2", "biden", "astronaut"):
        answer = await client.post("/identify", files={"image": ("x.jpg", picture(name))})
        assert answer.status_code == 200, answer.text
        document = answer.json()
        for face in document["faces"]:
            del face["identification_id"]
        found.append([document["faces"], document["bundle"], document["revision"]])
    return found


@pytest.mark.slow
async def test_a_restored_service_gives_equal_answers(
    client: AsyncClient,
    services: Services,
    publish: Publish,
    elsewhere: Settings,
    query_path: QueryPath,
    picture: Picture,
    tmp_path: Path,
    database_url: str,
) -> None:
    await client.patch("/collections/default", json={"keep_pictures": True})
    await enrol(client, picture("obama"), name="obama", external_id="o-1", metadata='{"n": 44}')
    biden = await enrol(client, picture("biden"), name="Бидон \\ 'x'\n\t")
    (face,) = (await client.post("/identify", files={"image": ("x", picture("biden"))})).json()[
        "faces"
    ]
    rejected = {"identification_id": face["identification_id"], "verdict": "rejected"}
    said = await client.post(f"/subjects/{biden['subject_id']}/feedback", json=rejected)
    assert said.status_code == 201
    bundle_id = await publish(0.2)
    before = await answers(client, picture)
    assert before[0][1] == bundle_id

    told = back_up(services, tmp_path / "backup.tar")
    there = contents(database_url)
    assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600
    assert told.manifest.rows == {
        name: len(rows) for name, rows in there.items() if name != "alembic_version"
    }
    assert [each.id for each in told.manifest.bundles] == [bundle_id]
    # What comes later is not in it.
    await enrol(client, picture("astronaut"), name="astronaut")

    assert not (await restore(elsewhere, tmp_path / "backup.tar")).erased_again
    assert elsewhere.database_url is not None
    assert contents(elsewhere.database_url.get_secret_value()) == there
    async with started(elsewhere, query_path) as other:
        assert await answers(other, picture) == before
        # Numbers that Postgres gives go on, and ids that were given out are good.
        await enrol(other, picture("astronaut"), name="astronaut")
        again = await other.post(f"/subjects/{biden['subject_id']}/feedback", json=rejected)
        assert again.json() == said.json()
        kept = (await other.get(f"/subjects/{biden['subject_id']}")).json()["samples"][0]
        path = f"/subjects/{biden['subject_id']}/samples/{kept['sample_id']}/picture"
        assert (await other.get(path)).content == picture("biden")


async def test_it_is_of_one_moment_while_others_write(
    services: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    written, over = 0, asyncio.Event()

    async def write() -> None:
        nonlocal written
        while not over.is_set():
            written += 1
            await asyncio.to_thread(
                populate,
                services.database.address,
                services.vault,
                subjects=1,
                samples=2,
                dimension=192,
                seed=written,
            )

    writing = asyncio.create_task(write())
    for number in range(3):
        so_far = written
        while written < so_far + 5:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(back_up, services, tmp_path / f"{number}.tar")
    over.set()
    await writing
    await restore(elsewhere, tmp_path / "1.tar")
    assert elsewhere.database_url is not None
    with psycopg.connect(elsewhere.database_url.get_secret_value()) as connection:
        counted = connection.execute(
            "SELECT collections.revision, (SELECT count(*) FROM changes),"
            " (SELECT count(*) FROM subjects), (SELECT count(*) FROM samples) FROM collections"
        ).fetchone()
    assert counted is not None
    revision, changes, subjects, samples = counted
    assert 0 < revision < written
    assert revision == changes == subjects
    assert samples == 2 * subjects


async def test_who_was_erased_since_is_erased_again(
    services: Services,
    client: AsyncClient,
    publish: Publish,
    subjects: list[UUID],
    elsewhere: Settings,
    query_path: QueryPath,
    tmp_path: Path,
) -> None:
    bundle_id = await publish(0.2)
    back_up(services, tmp_path / "backup.tar")
    erased = subjects[0]
    answer = await client.delete(f"/subjects/{erased}")
    receipt_id = answer.headers["Location"].rsplit("/", 1)[-1]
    (tmp_path / "receipts").write_text("\n".join(await receipt_lines(services.database)) + "\n")
    receipts = read_receipts(tmp_path / "receipts")
    assert [str(each.id) for each in receipts] == [receipt_id]

    restored = await restore(elsewhere, tmp_path / "backup.tar", receipts=receipts)
    assert restored.erased_again == 1
    async with started(elsewhere, query_path) as other:
        assert (await other.get(f"/subjects/{erased}")).status_code == 404
        assert (await other.get(f"/subjects/{subjects[1]}")).status_code == 200
        # The receipt is the old one, and tells that the bundle holds the subject again.
        receipt = (await other.get(f"/admin/erasures/{receipt_id}")).json()
        assert receipt["subject_id"] == str(erased)
        assert [each["bundle_id"] for each in receipt["bundles"]] == [bundle_id]
        assert receipt["completed_at"] is None
        shown = (await other.get("/collections/default")).json()
        assert shown["subject_count"] == len(subjects) - 1
        assert shown["revision"] == shown["gallery"]["revision"] == len(subjects) + 1


async def test_jobs_that_were_under_way_are_over(
    services: Services, elsewhere: Settings, query_path: QueryPath, tmp_path: Path
) -> None:
    with psycopg.connect(services.database.address) as connection:
        connection.execute(
            "INSERT INTO jobs (id, collection_id, state, progress, message, options, metrics,"
            " cancel_requested) SELECT gen_random_uuid(), id, 'queued', 0, '',"
            """ '{"full": false, "target_size": null, "seed": null, "automatic": false,"""
            """ "changed": null}', '{}', false FROM collections"""
        )
    back_up(services, tmp_path / "backup.tar")
    assert (await restore(elsewhere, tmp_path / "backup.tar")).ended_jobs == 1
    async with started(elsewhere, query_path) as other:
        (job,) = (await other.get("/admin/jobs")).json()["jobs"]
        assert job["state"] == "failed"
        assert "A backup was restored" in job["message"]


@pytest.mark.slow
async def test_what_cannot_be_restored_leaves_nothing_behind(
    services: Services, publish: Publish, elsewhere: Settings, tmp_path: Path
) -> None:
    await publish(0.2)
    path = tmp_path / "backup.tar"
    back_up(services, path)
    whole = path.read_bytes()

    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackupDamaged):
        await restore(elsewhere, path)
    assert is_empty(elsewhere)

    with tarfile.open(tmp_path / "backup.tar", "w"):
        pass
    with pytest.raises(BackupDamaged):
        await restore(elsewhere, path)
    path.write_bytes(whole)

    with pytest.raises(OtherMasterKey):
        await restore(elsewhere, path, master_key=bytes(KEY_BYTES))
    assert is_empty(elsewhere)

    await restore(elsewhere, path)
    assert not is_empty(elsewhere)
    with pytest.raises(DatabaseNotEmpty):
        await restore(elsewhere, path)


async def test_a_backup_of_tables_that_are_unknown_is_refused(
    services: Services, elsewhere: Settings, tmp_path: Path
) -> None:
    with psycopg.connect(services.database.address) as connection:
        before = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    try:
        back_up(services, tmp_path / "backup.tar")
    finally:
        with psycopg.connect(services.database.address) as connection:
            connection.execute("UPDATE alembic_version SET version_num = %s", before)
    with pytest.raises(BackupTooNew, match="revision 9999, which is unknown"):
        await restore(elsewhere, tmp_path / "backup.tar")
    assert is_empty(elsewhere)


@pytest.fixture
def older_database(postgres: EmbeddedPostgres) -> Iterator[URL]:
    """Of the version before templates were encrypted, with one subject."""
    name = sql.Identifier("older")
    with psycopg.connect(postgres.url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(name))
        url = make_url(postgres.url).set(drivername="postgresql+psycopg", database="older")
        with create_engine(url, poolclass=NullPool).begin() as connection:
            command.upgrade(migration_config(connection), "0002")
        yield url
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


async def test_an_older_backup_is_brought_up_to_date(
    older_database: URL, elsewhere: Settings, query_path: QueryPath, tmp_path: Path
) -> None:
    embedder = query_path.embedder.manifest
    (template,) = drawn_templates(1, 1, dimension=embedder.dimension, seed=0)[0]
    with psycopg.connect(address_of(older_database)) as connection:
        row = connection.execute(
            "INSERT INTO collections (id, name, embedder_name, embedder_sha256, revision)"
            " VALUES (gen_random_uuid(), 'default', %s, %s, 1) RETURNING id",
            [embedder.name, embedder.sha256],
        ).fetchone()
        assert row is not None
        subject = uuid4()
        connection.execute(
            "INSERT INTO subjects (id, collection_id, name, metadata) VALUES (%s, %s, 'n', '{}')",
            [subject, *row],
        )
        connection.execute(
            "INSERT INTO samples (id, subject_id, template, picture_sha256, quality_score,"
            " quality_reasons) VALUES (gen_random_uuid(), %s, %s, '', 1, '{}')",
            [subject, template.tobytes()],
        )
    files = BundleFiles(folder=tmp_path / "none", subnet_memory_bytes=1, threads=1)
    path, key = tmp_path / "backup.tar", master_key(elsewhere)
    make_backup(address_of(older_database), lambda _: files, path, master_key=key)
    await restore(elsewhere, tmp_path / "backup.tar")
    (elsewhere.data_dir / "admin.key").unlink()
    app = create_app(elsewhere, open_path=lambda _: query_path)
    async with app.router.lifespan_context(app):
        live = app.state.services.galleries.find("default")
        np.testing.assert_array_equal(live.gallery.templates_of(subject), [template])


def test_nothing_is_not_backed_up(empty_database: URL, tmp_path: Path) -> None:
    files = BundleFiles(folder=tmp_path, subnet_memory_bytes=1, threads=1)
    with pytest.raises(NothingToBackUp):
        make_backup(
            address_of(empty_database),
            lambda _: files,
            tmp_path / "b.tar",
            master_key=bytes(KEY_BYTES),
        )
    assert list(tmp_path.iterdir()) == []


async def test_a_bundle_that_is_damaged_is_left_out_and_told(
    services: Services, publish: Publish, tmp_path: Path
) -> None:
    bundle_id = await publish(0.2)
    net = next(services.bundles.files.bundle(bundle_id).rglob("*.onnx"))
    net.write_bytes(net.read_bytes()[:-1])
    told = back_up(services, tmp_path / "backup.tar")
    assert told.manifest.bundles == []
    assert told.manifest.missing_bundles == [bundle_id]
