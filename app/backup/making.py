"""Make a backup: all tables in one snapshot, and the bundles, while the service runs."""

import base64
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import Connection, IsolationLevel

from app.backup import tables
from app.backup.archive import ArchiveWriter
from app.backup.manifest import FORMAT, BundleContents, Manifest, TableContents
from app.bundles.files import BundleFiles
from app.version import VERSION
from models.bundle_format import BundleInvalid
from vault.master import unwrap_all

PORTION_BYTES = 16 * 2**20
"""Of a table's text, before it is packed: so much of it is in memory."""
FASTEST = 1
"""Of zlib's levels: what is encrypted shrinks to half, for it is written as hexadecimal digits, and
by no level to less."""


class NothingToBackUp(Exception):
    """The database has no tables of ours."""


@dataclass(frozen=True)
class Told:
    """What there is to say about a backup."""

    manifest: Manifest
    bytes: int


def make_backup(
    address: str,
    open_files: Callable[[Connection[Any]], BundleFiles],
    path: Path,
    *,
    master_key: bytes,
) -> Told:
    """Write a backup; the file is there wholly or not at all, and for its owner only.

    Args:
        address: of the database, `postgresql://...`, of any version of ours.
        open_files: gives the published bundles' files, on a connection to that database.
        path: of the file.
        master_key: of the service; the whole backup is encrypted with it.

    Raises:
        FileExistsError: there is a file already.
        MasterKeyInvalid: the key is not the one of the database, so that a restored service
            could open nothing.
        NothingToBackUp: the database has no tables of ours.
        psycopg.Error: the database can't be read.
        OSError: the file can't be written, such as on a full disk.
    """
    with _written_whole(path) as file, _snapshot(address) as connection:
        # As of now: what is committed later is not in it.
        made_at = datetime.now(UTC)
        revision = _revision(connection)
        listed = tables.list_tables(connection)
        if any(table.name == "data_keys" for table in listed):
            unwrap_all(master_key, connection.execute("SELECT id, wrapped FROM data_keys"))
        archive = ArchiveWriter(file, master_key)
        contents = [_add_table(archive, connection, table) for table in listed]
        bundle_ids = [row[0] for row in connection.execute("SELECT id FROM bundles ORDER BY id")]
        bundle_files = open_files(connection)
        added = {each: _add_bundle(archive, bundle_files, each) for each in bundle_ids}
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            revision=revision,
            made_at=made_at,
            tables=contents,
            bundles=[each for each in added.values() if each is not None],
            missing_bundles=[bundle_id for bundle_id, each in added.items() if each is None],
            wrapped_key=base64.b64encode(archive.wrapped_key),
            parts=dict(archive.parts),
        )
        archive.finish(manifest)
        size = file.tell()
    return Told(manifest, size)


@contextmanager
def _written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Write a file aside, readable by its owner alone, and give it its name in the end."""
    if path.exists():
        raise FileExistsError(f"{path} is there already")
    aside = path.with_name(f"{path.name}.unfinished")
    descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # it may have been there, for everybody
            yield file
            file.flush()
            os.fsync(descriptor)
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def _snapshot(address: str) -> Iterator[Connection[Any]]:
    with psycopg.connect(address) as connection:
        for statement in tables.PORTABLE:
            connection.execute(statement)
        connection.commit()
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection


def _revision(connection: Connection[Any]) -> str:
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except psycopg.errors.UndefinedTable:
        row = None
    if row is None:
        raise NothingToBackUp
    return str(row[0])


def _add_table(
    archive: ArchiveWriter, connection: Connection[Any], table: tables.Table
) -> TableContents:
    contents = TableContents(name=table.name, columns=table.columns, rows=0, portions=0)

    def add(portion: bytes) -> None:
        archive.add(contents.portion(contents.portions), zlib.compress(portion, FASTEST))
        contents.portions += 1

    gathered = bytearray()
    with connection.cursor() as cursor:
        with cursor.copy(tables.copy_out(table.name, table.columns)) as rows:
            for row in rows:
                gathered += row
                if len(gathered) >= PORTION_BYTES:
                    add(bytes(gathered))
                    gathered.clear()
        contents.rows = cursor.rowcount
    if gathered:
        add(bytes(gathered))
    return contents


def _add_bundle(
    archive: ArchiveWriter, bundle_files: BundleFiles, bundle_id: str
) -> BundleContents | None:
    """Add a bundle's files; None if it can't be had, here or in the store."""
    with suppress(OSError, BundleInvalid):
        bundle_files.ensure(bundle_id)
    if not bundle_files.is_sound(bundle_id):
        return None
    contents = BundleContents(id=bundle_id, portions={})
    folder = bundle_files.place(bundle_id)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, number = path.relative_to(folder).as_posix(), 0
        try:
            file = path.open("rb")
        except FileNotFoundError:  # the service has just deleted the bundle
            return None
        with file:
            while portion := file.read(PORTION_BYTES):
                archive.add(contents.portion(name, number), portion)
                number += 1
        contents.portions[name] = number
    return contents
