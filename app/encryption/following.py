"""Keeps the vault like the database: another process may have made a new data key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.database import Database
from app.encryption import repository
from app.logs import get_logger
from app.repeating import Step, beside, repeat
from vault.vault import Vault

POLL_S = 1.0
"""Between two looks at the data keys' ids: one small query each."""

log = get_logger()


@asynccontextmanager
async def following_keys(vault: Vault, database: Database) -> AsyncIterator[None]:
    """Follow the database's data keys while the block runs."""

    async def follow() -> None:
        async with database.transaction() as session:
            current = await repository.current_data_key(session)
        if current != vault.current:
            # Raises MasterKeyInvalid when the master key was rotated, and this process has the old
            # one; it goes on with the data keys that it holds until it is started again.
            await asyncio.to_thread(vault.learn)
            log.info("data_keys_learned", current=vault.current)

    step = Step(follow, failed="data_keys_not_followed", mended="data_keys_followed_again")
    async with beside(repeat(step, every_s=POLL_S, first_after_s=POLL_S)):
        yield
