"""Seals what was stored before there was a vault."""

import asyncio

from app.database import Database
from app.encryption import repository
from app.encryption.contents import TEMPLATES, SealedColumn
from app.encryption.repository import StoredContent
from app.keys.repository import lock_start
from app.logs import get_logger
from vault.vault import Vault

log = get_logger()


async def seal_what_is_plain(database: Database, vault: Vault) -> None:
    """Seal all templates that are not; on return there are none.

    In portions of a transaction each: if it is ended before, the next start goes on. Of several
    processes at once each seals another portion, and none returns before all are done.
    """
    for column in TEMPLATES:
        count = 0
        while portion := await _seal_portion(database, vault, column):
            count += portion
        if count:
            log.info("sealed_what_was_plain", table=column.table.name, count=count)


async def _seal_portion(database: Database, vault: Vault, column: SealedColumn) -> int:
    async with database.transaction() as session:
        # What another process is just sealing would be left out below, and be plain when we read
        # it: here we wait for it.
        await lock_start(session)
        found = await repository.not_sealed(session, column)
        if found:
            await repository.replace(
                session, column, await asyncio.to_thread(_sealed, found, vault)
            )
    return len(found)


def _sealed(found: list[StoredContent], vault: Vault) -> list[tuple[tuple[object, ...], bytes]]:
    return [
        (each.key, vault.seal(each.content, purpose=each.purpose, owner=each.owner))
        for each in found
    ]
