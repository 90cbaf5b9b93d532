"""Bundles on their way between this process and the store that all replicas share."""

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from app.bundles import repository
from app.bundles.files import BundleFiles
from app.bundles.store import BundleStore
from app.database import Database
from app.feedback.repository import shared_key
from app.logs import describe_error, get_logger
from models.bundle_format import BundleInvalid

PATIENCE_S = 600.0
"""For which a training's bundle waits for a store that can't be used: it took hours to make."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
"""Between two tries; each wait is twice the one before."""

DEPLOYMENT = "bundle_store"
"""Under which the name of this deployment's folder in the store is kept."""

log = get_logger()


@dataclass
class Sharing:
    """Puts bundles into the store, and fetches those that are not here yet."""

    database: Database
    files: BundleFiles
    _damaged: set[str] = field(default_factory=set)
    """Bundles of the store that are not fetched again."""
    _missing: set[str] = field(default_factory=set)
    """Bundles that the store lacks: it is said once."""
    _is_complete: bool = False
    """Whether the store has had all bundles that are here."""

    async def put(self, source: Path, bundle_id: str) -> None:
        """Put a training's bundle into the store, if there is one; one that is away is waited for.

        Raises:
            OSError: a file is missing, or the store could not be used for `PATIENCE_S`.
        """
        store = self.files.store
        if store is None:
            return None
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        wait_s = FIRST_WAIT_S
        while True:
            try:
                return await asyncio.to_thread(store.put, source, bundle_id)
            except FileNotFoundError:
                raise
            except OSError as error:
                if asyncio.get_running_loop().time() + wait_s > deadline:
                    raise
                if wait_s == FIRST_WAIT_S:
                    log.error("bundle_not_stored", bundle=bundle_id, **describe_error(error))
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def share(self) -> None:
        """Bring store and cache together, a bundle a call.

        To go back to a bundle then takes no store, nor does telling whom it was trained with.

        Raises:
            OSError: the store can't be used, or the disk is full.
        """
        store = self.files.store
        if store is not None:
            if not self._is_complete:
                await self._put_what_is_missing(store)
            await self._fetch_one()

    async def _put_what_is_missing(self, store: BundleStore) -> None:
        """Put the bundles into the store that were published before there was one."""
        stored = await asyncio.to_thread(store.names)
        for bundle_id in await self._known() - stored:
            if await asyncio.to_thread(self.files.is_sound, bundle_id):
                await asyncio.to_thread(store.put, self.files.place(bundle_id), bundle_id)
                log.info("bundle_stored", bundle=bundle_id)
        # Later ones are put there before they have a row, and leave after it has gone.
        self._is_complete = True

    async def _fetch_one(self) -> None:
        for bundle_id in await self._known() - self._damaged:
            if self.files.place(bundle_id).exists():
                continue
            try:
                await asyncio.to_thread(self.files.ensure, bundle_id)
                return
            except BundleInvalid as error:  # it stays so
                self._damaged.add(bundle_id)
                log.error("stored_bundle_damaged", bundle=bundle_id, reason=str(error))
            except FileNotFoundError as error:  # it must not keep the others
                if bundle_id not in self._missing:
                    log.error("bundle_not_stored", bundle=bundle_id, **describe_error(error))
                self._missing.add(bundle_id)

    async def _known(self) -> set[str]:
        async with self.database.snapshot() as session:
            return await repository.all_ids(session)


async def open_store(url: SecretStr | None, database: Database) -> BundleStore | None:
    """Open the store of all replicas on this database, if there is one.

    Raises:
        StoreInvalid: see `BundleStore.open`.
    """
    if url is None:
        return None
    async with database.transaction() as session:
        deployment = await shared_key(session, name=DEPLOYMENT, fresh=os.urandom(16))
    return BundleStore.open(url.get_secret_value(), deployment.hex())
