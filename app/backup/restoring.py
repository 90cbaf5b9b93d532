"""Restore a backup into an empty database: whole, or not at all."""

import asyncio
import shutil
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import psycopg
from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, NullPool, delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

from app.backup import tables
from app.backup.archive import Archive, BackupDamaged, BackupTooNew
from app.backup.manifest import BundleContents, Manifest, TableContents
from app.backup.receipts import Receipt, erase_again
from app.bundles.files import BundleFiles
from app.bundles.sharing import DEPLOYMENT
from app.jobs.claims import finish
from app.jobs.repository import UNFINISHED
from app.migrate import START_LOCK, migration_config
from app.tables import JobRow, SecretRow

HEAD = "head"
JOB_ENDED = "A backup was restored that was made while it was unfinished; start another one."


class DatabaseNotEmpty(Exception):
    """There is something in the database already."""


@dataclass(frozen=True)
class Restored:
    """What there is to say about a restored backup."""

    manifest: Manifest
    erased_again: int
    """Subjects of receipts, who were in the backup."""
    ended_jobs: int


async def restore_backup(
    path: Path,
    url: URL,
    bundle_files: BundleFiles,
    *,
    master_key: bytes,
    receipts: Sequence[Receipt],
) -> Restored:
    """Restore a backup; until the end of its one transaction nobody sees anything of it.

    The file is checked first, to its last byte. The tables are made as they were when the backup
    was made, filled, and then brought up to date.

    Args:
        path: of the backup.
        url: of an empty database.
        bundle_files: where the bundles are put.
        master_key: that the backup was made with.
        receipts: of erasures after the backup, which are done again.

    Raises:
        BackupDamaged, BackupTooNew, OtherMasterKey: it can't be used; nothing was written.
        DatabaseNotEmpty: as it is; nothing was written.
        SQLAlchemyError, psycopg.Error: the database can't be written.
        OSError: a file can't be read or written.
    """
    with Archive.opened(path, master_key) as archive:
        engine = create_async_engine(url, poolclass=NullPool, hide_parameters=True)
        try:
            async with _placed_bundles(archive, bundle_files), engine.begin() as connection:
                await _load(connection, archive)
                async with AsyncSession(connection, expire_on_commit=False) as session:
                    ended = await _let_go_of_what_was_under_way(session)
                    again = 0
                    for receipt in receipts:
                        again += await erase_again(session, receipt, bundle_files.holds)
                    await session.commit()
        finally:
            await engine.dispose()
        return Restored(archive.manifest, again, ended)


async def _load(connection: AsyncConnection, archive: Archive) -> None:
    # Whoever starts a service meanwhile waits for us, and finds the tables up to date.
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": START_LOCK})
    if await connection.scalar(text(tables.NOT_EMPTY)):
        raise DatabaseNotEmpty
    await connection.run_sync(_migrate, archive.manifest.revision)
    raw = await connection.get_raw_connection()
    driver: psycopg.AsyncConnection[Any] = raw.driver_connection  # type: ignore[assignment]
    for statement in tables.PORTABLE:
        await driver.execute(statement)
    for table in archive.manifest.tables:
        await _fill(driver, archive, table)
    for name, column in await (await driver.execute(tables.IDENTITIES)).fetchall():
        await driver.execute(tables.advance_sequence(name, column))
    await connection.run_sync(_migrate, HEAD)


def _migrate(connection: Connection, revision: str) -> None:
    config = migration_config(connection)
    try:
        if revision != HEAD:
            ScriptDirectory.from_config(config).get_revision(revision)
    except CommandError as error:
        raise BackupTooNew(f"its tables are of revision {revision}, which is unknown") from error
    command.upgrade(config, revision)


async def _fill(
    driver: psycopg.AsyncConnection[Any], archive: Archive, table: TableContents
) -> None:
    async with driver.cursor() as cursor:
        async with cursor.copy(tables.copy_in(table.name, table.columns)) as rows:
            for number in range(table.portions):
                await rows.write(zlib.decompress(archive.read(table.portion(number))))
        if cursor.rowcount != table.rows:
            raise BackupDamaged(f"table {table.name} has {cursor.rowcount} rows, not {table.rows}")


async def _let_go_of_what_was_under_way(session: AsyncSession) -> int:
    """End unfinished jobs; tell how many. (Claims of `Idempotency-Key` lapse by themselves.)"""
    jobs = (await session.scalars(select(JobRow.id).where(JobRow.state.in_(UNFINISHED)))).all()
    for job_id in jobs:
        await finish(session, job_id, "failed", JOB_ENDED)
    # A name of its own in the bundle store: where the backup came from may go on, and what is
    # deleted here must stay there.
    await session.execute(delete(SecretRow).where(SecretRow.name == DEPLOYMENT))
    return len(jobs)


@asynccontextmanager
async def _placed_bundles(archive: Archive, bundle_files: BundleFiles) -> AsyncIterator[None]:
    """Have the backup's bundles in their places; if the block fails, they are gone again."""
    restoring = bundle_files.folder.with_name("restoring")
    new = [each for each in archive.manifest.bundles if not bundle_files.is_sound(each.id)]
    placed: list[str] = []
    try:
        for bundle in new:
            await asyncio.to_thread(_extract, archive, bundle, restoring / bundle.id)
            bundle_files.folder.mkdir(parents=True, exist_ok=True)
            bundle_files.adopt(restoring / bundle.id, bundle.id)
            placed.append(bundle.id)
            if not bundle_files.is_sound(bundle.id):
                raise BackupDamaged(f"bundle {bundle.id} is not whole")
        yield
    except BaseException:
        for bundle_id in placed:
            bundle_files.delete(bundle_id)
        raise
    finally:
        shutil.rmtree(restoring, ignore_errors=True)


def _extract(archive: Archive, bundle: BundleContents, folder: Path) -> None:
    for path, portions in bundle.portions.items():
        relative = PurePosixPath(path)
        if relative.is_absolute() or ".." in relative.parts:
            raise BackupDamaged(f"{path} leads out of its bundle")
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for number in range(portions):
                file.write(archive.read(bundle.portion(path, number)))
