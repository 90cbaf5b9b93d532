"""Open the vault: the master key from the settings, the data keys from the database."""

import os
from pathlib import Path

from app.database import Database
from app.encryption import repository
from app.keys.repository import lock_start
from app.private_files import write_private
from app.settings import Settings
from vault.master import read_master_key, unwrap, wrap, write_master_key
from vault.vault import KEY_BYTES, Vault

KEY_FILE = "encryption.key"
FIRST_DATA_KEY = 1


def master_key(settings: Settings) -> bytes:
    """Read the master key; made in the data directory where no setting names one.

    Raises:
        MasterKeyInvalid: it is no key.
        OSError: its file can't be read or made.
    """
    if settings.encryption_key is not None:
        return read_master_key(settings.encryption_key.get_secret_value())
    path = settings.encryption_key_file or _own_key_file(settings.data_dir)
    return read_master_key(path.read_text())


def _own_key_file(data_dir: Path) -> Path:
    path = data_dir / KEY_FILE
    if not path.exists():
        write_private(path, write_master_key(os.urandom(KEY_BYTES)))
    return path


async def open_vault(database: Database, master: bytes) -> Vault:
    """Open the data keys; the first one is made if there is none.

    Raises:
        MasterKeyInvalid: they were sealed with another master key.
    """
    async with database.transaction() as session:
        await lock_start(session)
        rows = await repository.data_keys(session)
        if not rows:
            key = os.urandom(KEY_BYTES)
            await repository.insert_data_key(
                session, FIRST_DATA_KEY, wrap(master, FIRST_DATA_KEY, key)
            )
            return Vault({FIRST_DATA_KEY: key})
    return Vault({row.id: unwrap(master, row.id, row.wrapped) for row in rows})
