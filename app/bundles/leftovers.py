"""Bundles that no row tells of any more, in the cache and in the store: found, and removed.

A bundle's row comes after its files and goes before they do, here or by another replica. So files
without a row are of a training that is about to publish, or they are left over. A bundle that is on
a receipt had a row, so without one it was deleted, and the receipt waits for its files to be gone.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from app.bundles import grace, repository
from app.bundles.files import FETCHING, BundleFiles
from app.database import Database
from app.erasures.repository import deleted_bundles, note_cleared
from app.logs import get_logger

STORE_EVERY_S = 60.0
"""Between two looks at the store, each of which is a request to it."""
IDLE_S = 600.0
"""A folder that is fetched into, and to which nothing was written for so long, is nobody's."""

log = get_logger()


@dataclass(frozen=True)
class _Sighting:
    """When files without a row were first seen, and the trainings that they may be of."""

    at: float
    trainings: frozenset[UUID]


@dataclass
class Leftovers:
    """What was seen without a row so far."""

    database: Database
    files: BundleFiles
    is_needed: Callable[[str], bool]
    """Tells whether a bundle is being published here, or somebody here is searched with it."""
    _here: dict[str, _Sighting] = field(default_factory=dict)
    _stored: dict[str, _Sighting] = field(default_factory=dict)
    _next_look_at: float = 0.0

    async def clear(self) -> None:
        """Remove what is left over for certain; the rest is looked at again the next time.

        Raises:
            OSError: something can't be removed, or the store can't be used.
        """
        await self._clear_here()
        if time.monotonic() >= self._next_look_at:
            await self._clear_store()
            await self.remove_stored(await self._deleted())
            self._next_look_at = time.monotonic() + STORE_EVERY_S

    async def remove_stored(self, bundle_ids: Collection[str]) -> None:
        """Remove deleted bundles from the store, if there is one, and note on receipts that they
        are gone.

        Raises:
            OSError: the store can't be used; the receipts stay open.
        """
        for bundle_id in bundle_ids:
            await asyncio.to_thread(self.files.delete_stored, bundle_id)
        async with self.database.transaction() as session:
            await note_cleared(session, bundle_ids, cached=self.files.store is not None)

    async def _clear_here(self) -> None:
        here = await asyncio.to_thread(self.files.names)
        for name in await self._left_over(here, self._here):
            if await asyncio.to_thread(_is_being_fetched, self.files.folder / name):
                continue
            await asyncio.to_thread(self.files.delete, name)
            log.info("bundle_files_removed", bundle=name)

    async def _clear_store(self) -> None:
        if self.files.store is not None:
            stored = await asyncio.to_thread(self.files.store.ids)
            for name in await self._left_over(stored, self._stored):
                await asyncio.to_thread(self.files.store.delete, name)
                log.info("stored_bundle_removed", bundle=name)

    async def _deleted(self) -> set[str]:
        """Deleted bundles that receipts wait for, and that are in no folder which is no cache."""
        async with self.database.snapshot() as session:
            deleted = await deleted_bundles(session)
        if self.files.store is not None:
            return deleted
        here = await asyncio.to_thread(self.files.names)
        return {bundle_id for bundle_id in deleted if not any(bundle_id in name for name in here)}

    async def _left_over(self, names: set[str], seen: dict[str, _Sighting]) -> list[str]:
        """Choose from names that were listed before this is called: what came up in between has a
        row. `seen` is brought up to date.
        """
        async with self.database.snapshot() as session:
            known = await repository.all_ids(session)
            trainings = frozenset(await repository.unfinished_trainings(session))
        unknown = {name for name in names - known if not self.is_needed(name)}
        now = time.monotonic()
        for name in seen.keys() - unknown:
            del seen[name]
        for name in unknown:
            seen.setdefault(name, _Sighting(now, trainings))
        # Requests under way may still be on a bundle that was active a moment ago; and a training
        # that ran when the files were first seen may be about to publish them.
        return [
            name
            for name, sighting in seen.items()
            if now - sighting.at >= grace.GRACE_S and not sighting.trainings & trainings
        ]


def _is_being_fetched(folder: Path) -> bool:
    """Whether another process of this data directory may be fetching into a folder."""
    if not folder.name.endswith(FETCHING):
        return False
    try:
        written_at = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return True
    return time.time() - written_at < IDLE_S
