"""Rotation: another master key for the data keys, or another data key for all that is sealed.

A new data key is there before anything is sealed with it, and every process learns it: by looking
every second, and at the latest when it is to open what was sealed with it. Each row says which data
key it needs, as a foreign key: so an old one is deleted when nothing needs it and not before, and a
process that has been asleep all the while can't store anything under it any more.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from app.database import Database
from app.encryption import repository
from app.encryption.contents import ALL_SEALED, SealedColumn
from app.encryption.following import POLL_S
from app.encryption.repository import StoredContent
from app.keys.repository import lock_start
from app.logs import get_logger
from vault.master import unwrap, unwrap_all, wrap
from vault.vault import KEY_BYTES, MOST_KEY_ID, SealBroken, UnknownDataKey, Vault

LEARNED_S = 3 * POLL_S
"""After so long every process that is awake seals with the new data key."""
MOST_ROUNDS = 5
"""A round finds what the last one did not: rows that others held, or have written since."""

log = get_logger()


class RotationUnfinished(Exception):
    """Something is still sealed with an old data key, which is kept; the message says what."""


class Progress(NamedTuple):
    """How far a rotation is."""

    sealed: int
    total: int
    """That were sealed with an older key when it began, or began again."""


async def rotate_master(database: Database, *, old: bytes, new: bytes) -> int:
    """Seal all data keys with another master key, in one transaction; tell how many those are.

    Processes that run go on: they hold the data keys. They need the new key when they start again,
    and to learn another data key.

    Raises:
        MasterKeyInvalid: the data keys were not sealed with `old`.
    """
    async with database.transaction() as session:
        await lock_start(session)
        rows = await repository.data_keys(session)
        for row in rows:
            row.wrapped = wrap(new, row.id, unwrap(old, row.id, row.wrapped))
    return len(rows)


async def rotate(database: Database, master: bytes, tell: Callable[[Progress], None]) -> int:
    """Seal everything with a new data key while the service runs; tell the key's id.

    In portions of a transaction each: if it is ended before, the next call goes on.

    Raises:
        MasterKeyInvalid: the data keys were not sealed with `master`.
        RotationUnfinished: some contents can't be opened, or stay locked by others.
    """
    vault = await _with_new_key(database, master)
    await asyncio.sleep(LEARNED_S)
    total = await _count_left(database, vault)
    sealed = 0

    def advance(count: int) -> None:
        nonlocal sealed
        sealed += count
        tell(Progress(sealed, max(total, sealed)))

    for _ in range(MOST_ROUNDS):
        for column in ALL_SEALED:
            await _seal_anew(database, vault, column, advance)
        async with database.transaction() as session:
            if await repository.delete_data_keys_before(session, vault.current):
                return vault.current
        await asyncio.sleep(POLL_S)
    left = await _count_left(database, vault)
    raise RotationUnfinished(
        f"{left} contents are still sealed with an old data key, which is kept: they can't be "
        "opened, or a service that has not learned the new one goes on writing"
    )


async def _with_new_key(database: Database, master: bytes) -> Vault:
    """Make the new data key; where there are several, an earlier rotation goes on."""
    async with database.transaction() as session:
        await lock_start(session)
        rows = await repository.data_keys(session)
        keys = unwrap_all(master, ((row.id, row.wrapped) for row in rows))
        if len(keys) == 1:
            new = max(keys) + 1
            if new > MOST_KEY_ID:
                raise RotationUnfinished(f"there can be no more than {MOST_KEY_ID} data keys")
            keys[new] = os.urandom(KEY_BYTES)
            await repository.insert_data_key(session, new, wrap(master, new, keys[new]))
    return Vault(keys)


async def _count_left(database: Database, vault: Vault) -> int:
    async with database.snapshot() as session:
        return sum(
            [
                await repository.count_sealed_before(session, column, vault.current)
                for column in ALL_SEALED
            ]
        )


async def _seal_anew(
    database: Database, vault: Vault, column: SealedColumn, advance: Callable[[int], None]
) -> None:
    after: tuple[Any, ...] | None = None
    while True:
        async with database.transaction() as session:
            found = await repository.sealed_before(session, column, vault.current, after)
            if not found:
                return
            resealed = await asyncio.to_thread(_resealed, found, vault, column.table.name)
            if resealed:
                await repository.replace(session, column, resealed)
        after = found[-1].key
        advance(len(resealed))


def _resealed(
    found: list[StoredContent], vault: Vault, table: str
) -> list[tuple[tuple[Any, ...], bytes]]:
    resealed = []
    for key, content, purpose, owner in found:
        try:
            opened = vault.open(content, purpose=purpose, owner=owner)
        except (SealBroken, UnknownDataKey) as error:
            log.error("content_unreadable", table=table, key=str(key[0]), reason=str(error))
            continue
        resealed.append((key, vault.seal(opened, purpose=purpose, owner=owner)))
    return resealed
