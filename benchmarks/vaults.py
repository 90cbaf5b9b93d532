"""The vault of a database that is filled without the service: opened as the service would."""

import os

import psycopg

from vault.master import unwrap_all, wrap
from vault.vault import KEY_BYTES, Vault


def made_vault(database_url: str, master_key: bytes) -> Vault:
    """Open the vault of a migrated database; its first data key is made if there is none.

    Raises:
        MasterKeyInvalid: the data keys were sealed with another master key.
    """
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO data_keys (id, wrapped) SELECT 1, %s"
            " WHERE NOT EXISTS (SELECT FROM data_keys)",
            [wrap(master_key, 1, os.urandom(KEY_BYTES))],
        )
        rows = connection.execute("SELECT id, wrapped FROM data_keys").fetchall()
    return Vault(unwrap_all(master_key, rows))
