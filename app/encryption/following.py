"""Keeps the vault like the database: another process may have made a new data key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from app.database import Database
from app.encryption import repository
from app.logs import describe_error, get_logger
from vault.vault import Vault

POLL_S = 1.0
"""Between two looks at the data keys' ids: one small query each."""

log = get_logger()


@asynccontextmanager
async def following_keys(vault: Vault, database: Database) -> AsyncIterator[None]:
    """Follow the database's data keys while the block runs."""
    task = asyncio.create_task(_follow(vault, database))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _follow(vault: Vault, database: Database) -> None:
    failing = False
    while True:
        await asyncio.sleep(POLL_S)
        try:
            async with database.transaction() as session:
                there = await repository.data_key_ids(session)
            if there != vault.key_ids:
                await asyncio.to_thread(vault.learn)
                log.info("data_keys_learned", current=vault.current)
        except Exception as error:  # noqa: BLE001  (nobody else would go on in its place)
            if not failing:  # once an outage, not each second
                # With MasterKeyInvalid: the master key was rotated, and this process has the old
                # one; it goes on with the data keys that it holds until it is started again.
                log.error("data_keys_not_followed", **describe_error(error))
            failing = True
        else:
            failing = False
