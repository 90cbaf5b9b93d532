"""Open the vault: the master key from the settings, the data keys from the database."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psycopg

from app.database import Database
from app.encryption import repository
from app.encryption.following import following_keys
from app.encryption.plain import seal_what_is_plain
from app.keys.repository import lock_start
from app.private_files import write_private
from app.problems import DatabaseUnavailable
from app.settings import Settings
from vault.master import (
    FILE_VARIABLE,
    KEY_VARIABLE,
    MasterKeyInvalid,
    read_key_file,
    read_master_key,
    unwrap_all,
    wrap,
    write_master_key,
)
from vault.vault import KEY_BYTES, Vault

KEY_FILE = "encryption.key"
FIRST_DATA_KEY = 1
CONNECT_TIMEOUT_S = 5


class MasterKeyMissing(MasterKeyInvalid):
    """The database's data keys were sealed with a master key that is not here."""


def master_key(settings: Settings) -> bytes:
    """Read the master key.

    Raises:
        MasterKeyMissing: no setting names one, and there is none in the data directory.
        MasterKeyInvalid: it is no key, or can't be read.
    """
    if settings.encryption_key is not None:
        return read_master_key(settings.encryption_key.get_secret_value())
    path = key_file(settings)
    if settings.encryption_key_file is None and not path.exists():
        raise MasterKeyMissing(
            "the database's templates are encrypted, and their key is not here: neither "
            f"COHORT_ENCRYPTION_KEY nor COHORT_ENCRYPTION_KEY_FILE is set, and {path} is not there"
        )
    return read_key_file(path)


def key_file(settings: Settings) -> Path:
    """Tell where the master key is, if it is not itself a setting."""
    return settings.encryption_key_file or settings.data_dir / KEY_FILE


@asynccontextmanager
async def opened_vault(database: Database, settings: Settings) -> AsyncIterator[Vault]:
    """Open the vault, seal what is stored and not sealed, and follow the data keys meanwhile.

    Raises:
        MasterKeyInvalid, OSError: see `open_vault`.
    """
    vault = await open_vault(database, settings)
    await seal_what_is_plain(database, vault)
    async with following_keys(vault, database):
        yield vault


async def open_vault(database: Database, settings: Settings) -> Vault:
    """Open the data keys; the first one is made if there is none, and a master key for it.

    A master key is made in the data directory, and only if no setting names one and the database
    has nothing sealed: another replica's key is never replaced by one's own.

    Raises:
        MasterKeyInvalid: see `master_key`; or the data keys were sealed with another one.
        OSError: the file of a new master key can't be written.
    """
    async with database.transaction() as session:
        await lock_start(session)
        rows = await repository.data_keys(session)
        if not rows:
            _ensure_master_key(settings)
        master = master_key(settings)
        keys = unwrap_all(master, ((row.id, row.wrapped) for row in rows))
        if not keys:
            keys = {FIRST_DATA_KEY: os.urandom(KEY_BYTES)}
            wrapped = wrap(master, FIRST_DATA_KEY, keys[FIRST_DATA_KEY])
            await repository.insert_data_key(session, FIRST_DATA_KEY, wrapped)
    return Vault(keys, partial(read_data_keys, database.address, master))


def read_data_keys(address: str, master: bytes) -> dict[int, bytes]:
    """Read the data keys that there are now, on a connection of its own. Blocks.

    Raises:
        MasterKeyInvalid: they were sealed with another master key.
        DatabaseUnavailable: the database can't be reached.
    """
    try:
        # Requests wait for it, on a network that may answer nothing at all.
        with psycopg.connect(
            address,
            connect_timeout=CONNECT_TIMEOUT_S,
            tcp_user_timeout=CONNECT_TIMEOUT_S * 1000,
        ) as connection:
            rows = connection.execute("SELECT id, wrapped FROM data_keys").fetchall()
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable("The database can't be reached; try again shortly.") from error
    return unwrap_all(master, rows)


def _ensure_master_key(settings: Settings) -> None:
    path = settings.data_dir / KEY_FILE
    named = settings.encryption_key is not None or settings.encryption_key_file is not None
    if not named and not path.exists():
        write_private(path, write_master_key(os.urandom(KEY_BYTES)))


def key_variables(settings: Settings) -> dict[str, str]:
    """Give the environment that tells a child process, in whatever folder, the master key.

    Never an argument: everybody may read a process's command line.
    """
    if settings.encryption_key is not None:
        return {KEY_VARIABLE: settings.encryption_key.get_secret_value()}
    return {FILE_VARIABLE: str(key_file(settings).resolve())}
