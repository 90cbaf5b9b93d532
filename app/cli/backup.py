"""`cohort backup` and `cohort restore`: all that is stored, in one file, and back."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from app.cli.configuration import load_settings
from app.cli.output import EXIT_NOT_ALL, Failure, notes, printable

if TYPE_CHECKING:
    from psycopg import Connection
    from sqlalchemy import URL

    from app.bundles.files import BundleFiles
    from app.settings import Settings


def backup(
    file: Annotated[Path, typer.Argument(help="Is made, readable by you only.")],
) -> None:
    """Write all that is stored into one file: the database, as of one moment, and the bundles.

    The service may run meanwhile. The whole file is encrypted with the master key, which is not in
    it: without the key nothing can be restored. Keep a copy of it, elsewhere.

    Examples:
    * `cohort backup /backups/cohort-2026-01-20.tar`
    """
    from app.backup.making import NothingToBackUp, make_backup
    from app.cli.start_errors import start_errors_as_failures
    from app.encryption.service import master_key

    settings = load_settings()
    if file.exists():
        raise Failure(
            f"{printable(file)} is there already.", hint="A backup does not replace a file."
        )
    with start_errors_as_failures():
        key = master_key(settings)
    with start_errors_as_failures(), _file_errors(file), _reached(settings) as url:
        try:
            told = make_backup(
                url.set(drivername="postgresql").render_as_string(hide_password=False),
                lambda connection: _bundle_files(settings, connection),
                file,
                master_key=key,
            )
        except NothingToBackUp as error:
            raise Failure(
                "There is nothing to back up: the database has no tables of Cohort.",
                hint="COHORT_DATABASE_URL or COHORT_DATA_DIR say where it is.",
            ) from error
    manifest = told.manifest
    notes.print(
        Text(
            f"{printable(file)}: {_counted(manifest.rows, len(manifest.bundles))}; "
            f"{told.bytes / 1e6:,.1f} MB, as of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"
        ),
        soft_wrap=True,
    )
    notes.print(
        Text(f"Not in it: the master key, {_where_the_key_is(settings)}. Keep a copy elsewhere."),
        soft_wrap=True,
    )
    for bundle_id in manifest.missing_bundles:
        notes.print(f"Not in it either: bundle {bundle_id}, whose files are missing or damaged.")
    if manifest.missing_bundles:
        raise typer.Exit(EXIT_NOT_ALL)


def restore(
    file: Annotated[Path, typer.Argument(help="Made by `cohort backup`.")],
    erasures: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Receipts that `cohort erasures export` wrote: who was deleted after the backup "
            "is deleted again.",
        ),
    ] = None,
) -> None:
    """Restore a backup into an empty database: whole, or not at all.

    COHORT_DATABASE_URL names the database, or COHORT_DATA_DIR a folder without one; the master key
    must be in its place. No service may run on it yet.

    A backup brings back whoever was deleted since: give the latest receipts, or delete those
    people again. API keys that were revoked since are good again, too.

    Examples:
    * `cohort restore /backups/cohort-2026-01-20.tar --erasures /backups/erasures.ndjson`
    """
    from app.backup.archive import BackupDamaged, BackupTooNew, OtherMasterKey
    from app.backup.receipts import ReceiptsUnreadable, read_receipts
    from app.backup.restoring import DatabaseNotEmpty, restore_backup
    from app.cli.start_errors import start_errors_as_failures
    from app.encryption.service import master_key
    from app.logs import configure_logs
    from vault.master import MasterKeyInvalid

    settings = load_settings()
    configure_logs("WARNING")
    receipts = []
    try:
        if erasures is not None:
            with _file_errors(erasures):
                receipts = read_receipts(erasures)
        key = master_key(settings)
        with start_errors_as_failures(), _reached(settings) as url, _file_errors(file):
            restored = asyncio.run(
                restore_backup(
                    file, url, _bundle_files(settings, None), master_key=key, receipts=receipts
                )
            )
    except ReceiptsUnreadable as error:
        raise Failure(f"{erasures} can't be used: {error}.") from error
    except (MasterKeyInvalid, OtherMasterKey) as error:
        told = str(error) or "it was made with another master key"
        raise Failure(
            f"{printable(file)} can't be restored: {told}.",
            hint="Nothing was written. COHORT_ENCRYPTION_KEY_FILE says where the key is that the "
            "service had; without that setting, it is encryption.key in the data directory.",
        ) from error
    except BackupDamaged as error:
        raise Failure(
            f"{printable(file)} can't be restored: {error}.", hint="Nothing was written."
        ) from error
    except BackupTooNew as error:
        raise Failure(
            f"{printable(file)} was made by a newer version of Cohort: {error}.",
            hint="Nothing was written. Restore it with that version or a newer one.",
        ) from error
    except DatabaseNotEmpty as error:
        raise Failure(
            "The database is not empty; a backup is restored into an empty one only.",
            hint="Nothing was written. Name a new database, or a data directory without one.",
        ) from error
    manifest = restored.manifest
    notes.print(
        Text(
            f"restored {_counted(manifest.rows, len(manifest.bundles))}, as of "
            f"{manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"
        ),
        soft_wrap=True,
    )
    if receipts:
        notes.print(f"erased again: {restored.erased_again} of {len(receipts)} receipts' subjects")
    if restored.ended_jobs:
        notes.print(f"jobs that were unfinished, and are failed now: {restored.ended_jobs}")
    notes.print(
        "API keys that were revoked since are good again: `cohort keys list` shows all. admin.key "
        "was not in the backup: `cohort keys create --name admin --scope admin` makes a key.",
        soft_wrap=True,
    )


@contextmanager
def _reached(settings: "Settings") -> Iterator["URL"]:
    """Give the database's address as it is: nothing is migrated, so that a backup can precede it.

    Raises:
        Failure: it can't be reached, or started.
    """
    import psycopg
    from sqlalchemy import make_url

    from app.cli.start_errors import start_errors_as_failures
    from app.embedded_postgres import EmbeddedPostgres

    embedded = None
    if settings.database_url is not None:
        address = settings.database_url.get_secret_value()
    else:
        with start_errors_as_failures():
            embedded = EmbeddedPostgres.start(settings.data_dir / "postgres")
        address = embedded.url
    try:
        yield make_url(address).set(drivername="postgresql+psycopg")
    except psycopg.OperationalError as error:
        raise Failure(
            f"The database can't be used: {' '.join(str(error).split())}",
            hint="COHORT_DATABASE_URL says where it is.",
        ) from error
    finally:
        if embedded is not None:
            embedded.stop()


def _bundle_files(settings: "Settings", connection: "Connection[Any] | None") -> "BundleFiles":
    """The bundles of the data directory, and of the store, if there is one to fetch them from."""
    from app.bundles.files import BundleFiles
    from app.bundles.sharing import DEPLOYMENT
    from app.bundles.store import BundleStore

    store = None
    if settings.bundle_store is not None and connection is not None:
        query = "SELECT value FROM secrets WHERE name = %s"
        if row := connection.execute(query, [DEPLOYMENT]).fetchone():
            store = BundleStore.open(settings.bundle_store.get_secret_value(), bytes(row[0]).hex())
    return BundleFiles(
        folder=settings.data_dir / "bundles",
        subnet_memory_bytes=settings.subnet_memory_bytes,
        threads=settings.inference_threads,
        store=store,
    )


def _counted(rows: dict[str, int], bundles: int) -> str:
    told = ", ".join(f"{rows.get(name, 0):,} {name}" for name in ("subjects", "samples"))
    return f"{told}, {bundles} bundle{'' if bundles == 1 else 's'}"


def _where_the_key_is(settings: "Settings") -> str:
    from app.encryption.service import key_file

    if settings.encryption_key is not None:
        return "which COHORT_ENCRYPTION_KEY holds"
    return str(key_file(settings).resolve())


@contextmanager
def _file_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise Failure(f"{printable(error.filename or file)}: {reason}.") from error
