"""Which bundle a collection is searched with: publish, activate, delete, and clear away old ones.

A bundle is in the store first, where there is one, then active in the database, and in memory last,
so a kill in between is mended by the next start; other processes on the database follow within a
second. It leaves the database first, then the files here; the store, and the caches of the others,
are left to leftovers.py, so that nobody waits for a store which is away.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.bundles import repository
from app.bundles.files import BundleFiles, bundle_id_of
from app.bundles.grace import Grace, still_active
from app.bundles.leftovers import Leftovers
from app.bundles.outdated import list_outdated
from app.bundles.receipts import complete_receipts
from app.bundles.sharing import Sharing
from app.bundles.shown import find_bundle
from app.database import Database
from app.erasures.repository import record_traces
from app.gallery.lookup import find_gallery
from app.gallery.repository import embedder_of
from app.gallery.service import Galleries
from app.logs import describe_error, get_logger
from app.problems import (
    BundleActive,
    BundleDamaged,
    BundleNotFound,
    BundleUnavailable,
    CollectionNotFound,
)
from app.tasks import wait_for_its_end
from models.bundle_format import BundleInvalid
from models.trained import Trained
from models.zoo import EmbedderId

RETRY_AFTER_S = "5"

log = get_logger()


class Bundles:
    """The published bundles of all collections."""

    def __init__(
        self, *, database: Database, galleries: Galleries, files: BundleFiles, kept: int
    ) -> None:
        """Hold them together.

        Args:
            database: that says which there are, and which are active.
            galleries: that are searched.
            files: of the bundles.
            kept: bundles of a collection that are kept beside the active one, for going back.
        """
        self.files = files
        self._database = database
        self._galleries = galleries
        self._kept = kept
        self._swaps: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)
        """One change of a collection's bundles at a time, from the files to the memory."""
        self._grace = Grace(database, self.in_use)
        self._undeletable: set[str] = set()
        """Bundles whose files could not be deleted: they are complained of once."""
        self._on_their_way: set[str] = set()
        """Bundles that are published here and have no row yet."""
        self.sharing = Sharing(database, files)
        store = files.store
        self._here = Leftovers(database, files, self._is_needed)
        self._stored = None if store is None else Leftovers(database, store, self._is_needed)

    def in_use(self, collection_id: UUID) -> str | None:
        """Tell which bundle a collection is searched with here; None where there is none, or the
        active one can't be used.
        """
        live = self._galleries.live_of(collection_id)
        return None if live is None else live.bundle_id

    async def activate(self, bundle_id: str) -> None:
        """Have a bundle's collection searched with it from now on.

        Raises:
            BundleNotFound: there is none of this id.
            BundleDamaged, BundleUnavailable: it can't be used, or not now; what was active stays.
            EmbedderMismatch: its collection is another embedder's.
        """
        stored = await find_bundle(bundle_id, self._database)
        live = await find_gallery(self._galleries, stored.collection)
        collection_id = stored.row.collection_id
        async with self._swaps[collection_id]:
            trained = await self._open(bundle_id, live.embedder)
            async with self._database.transaction() as session:
                found = await repository.lock_for_change(session, collection_id)
                if not found or await repository.lock_bundle(session, bundle_id) is None:
                    raise BundleNotFound("The bundle was deleted meanwhile.")
                if await embedder_of(session, collection_id) != live.embedder:
                    raise BundleDamaged("The collection's embedder was changed meanwhile.")
                await repository.set_active(session, collection_id, bundle_id)
            await self._galleries.activate(collection_id, trained)
            self._grace.note(collection_id)
        log.info("bundle_activated", bundle=bundle_id, collection_id=str(collection_id))

    async def publish(
        self,
        source: Path,
        collection_id: UUID,
        fields: dict[str, Any],
        finish: Callable[[AsyncSession], Awaitable[None]],
    ) -> None:
        """Take a training's bundle over and have its collection searched with it.

        Args:
            source: folder of the training's results; they are moved away from it.
            collection_id: whose bundle it is.
            fields: of its row: `id`, `watermark`, `classes`, `subnets`, `metrics`, `job_id`.
            finish: what else is to be true with it, in the same transaction; if this raises, the
                bundle is not published.

        Raises:
            BundleInvalid: it can't be used.
            CollectionNotFound: the collection was deleted meanwhile.
            OSError: the disk is full, or the store could not be used for long. Whatever is raised,
                nothing is left of the bundle.
        """
        bundle_id: str = fields["id"]
        if self._galleries.live_of(collection_id) is None:  # nothing of it leaves this machine
            raise CollectionNotFound("The collection was deleted meanwhile.")
        self._on_their_way.add(bundle_id)
        try:
            await self.sharing.put(source, bundle_id)
            async with self._swaps[collection_id]:
                await self._publish(source, collection_id, fields, finish)
        except BaseException:
            await self._discard_unknown(bundle_id)
            raise
        finally:
            self._on_their_way.discard(bundle_id)
        log.info("bundle_published", bundle=bundle_id, collection_id=str(collection_id))

    async def _publish(
        self,
        source: Path,
        collection_id: UUID,
        fields: dict[str, Any],
        finish: Callable[[AsyncSession], Awaitable[None]],
    ) -> None:
        bundle_id: str = fields["id"]
        live = self._galleries.live_of(collection_id)
        if live is None:
            raise CollectionNotFound("The collection was deleted meanwhile.")
        await wait_for_its_end(asyncio.to_thread(self.files.adopt, source, bundle_id))
        trained = await asyncio.to_thread(self.files.open, bundle_id, live.embedder)
        async with self._database.transaction() as session:
            # Held to the end, so that no subject is erased between the look at who has been erased
            # while this was trained, and the bundle being known.
            if not await repository.lock_for_change(session, collection_id):
                raise CollectionNotFound("The collection was deleted meanwhile.")
            if await embedder_of(session, collection_id) != live.embedder:
                raise BundleInvalid("The collection's embedder was changed meanwhile.")
            await finish(session)
            await repository.insert_if_new(session, fields | {"collection_id": collection_id})
            await record_traces(
                session, collection_id, bundle_id, holds=partial(self.files.holds, bundle_id)
            )
            await repository.set_active(session, collection_id, bundle_id)
        await self._galleries.activate(collection_id, trained)
        self._grace.note(collection_id)

    async def delete(self, bundle_id: str) -> None:
        """Delete a bundle, its files and what it says.

        Raises:
            BundleNotFound: there is none of this id.
            BundleActive: its collection is searched with it, if only here and for a moment more.
            OSError: its files can't be moved; the bundle is as it was.
        """
        collection_id = (await find_bundle(bundle_id, self._database)).row.collection_id
        while True:
            async with self._swaps[collection_id]:
                left = await self._grace.left(collection_id, bundle_id)
                if left <= 0:
                    await self._delete_unused(collection_id, bundle_id)
                    await self.delete_files([bundle_id])
                    break
            await asyncio.sleep(left)  # without the lock: another may be activated meanwhile
        log.info("bundle_deleted", bundle=bundle_id)

    async def _delete_unused(self, collection_id: UUID, bundle_id: str) -> None:
        async with self._database.transaction() as session:
            await repository.lock_for_change(session, collection_id)
            row = await repository.lock_bundle(session, bundle_id)
            if row is None:
                raise BundleNotFound("The bundle was deleted meanwhile.")
            if row.active:
                raise still_active()
            await repository.delete_bundle(session, bundle_id)
            # Before the commit: nobody who is told that it is gone can open it. To remove what it
            # holds takes longer, and who waits for the collection must not wait for that.
            await asyncio.to_thread(self.files.set_aside, bundle_id)

    async def forget_all_of(self, session: AsyncSession, collection_id: UUID) -> Sequence[str]:
        """Forget the bundles of a collection that is deleted, and give their ids."""
        await repository.lock_for_change(session, collection_id)
        bundle_ids = await repository.ids_of(session, collection_id)
        for bundle_id in bundle_ids:
            await repository.delete_bundle(session, bundle_id)
        return bundle_ids

    async def delete_files(self, bundle_ids: Sequence[str]) -> None:
        """Remove the files of forgotten bundles from here; what can't be removed now goes later."""
        for bundle_id in bundle_ids:
            try:
                await asyncio.to_thread(self.files.delete, bundle_id)
            except OSError as error:
                log.error("bundle_files_left", bundle=bundle_id, **describe_error(error))

    async def clear_here(self) -> None:
        """Remove what no row tells of: bundles that other replicas deleted, trainings' remains.

        Raises:
            OSError: something can't be removed.
        """
        await self._here.clear()

    async def clear_store(self) -> None:
        """Remove what no row tells of from the store, if there is one.

        Raises:
            OSError: something can't be removed, or the store can't be used.
        """
        if self._stored is not None:
            await self._stored.clear()

    async def complete_receipts(self) -> None:
        """Complete the receipts that waited for bundles which are gone now.

        Raises:
            OSError: the store can't be used.
        """
        await complete_receipts(self._database, self.files)

    def _is_needed(self, name: str) -> bool:
        return bundle_id_of(name) in self._on_their_way or name in self._galleries.bundles_in_use()

    async def clear_away(self) -> None:
        """Delete the bundles that nobody should go back to; one that can't be is left there."""
        async with self._database.snapshot() as session:
            collection_ids = await repository.collections_with_former(session)
        for collection_id in collection_ids:
            for bundle_id in await list_outdated(self._database, collection_id, self._kept):
                try:
                    with suppress(BundleNotFound, BundleActive):  # others have been at it
                        await self.delete(bundle_id)
                except OSError as error:  # one must not keep the others
                    if bundle_id not in self._undeletable:
                        log.error("bundle_undeletable", bundle=bundle_id, **describe_error(error))
                    self._undeletable.add(bundle_id)

    async def _open(self, bundle_id: str, embedder: EmbedderId) -> Trained:
        try:
            return await asyncio.to_thread(self.files.open, bundle_id, embedder)
        except (BundleInvalid, FileNotFoundError) as error:
            log.error("bundle_damaged", bundle=bundle_id, reason=str(error))
            raise BundleDamaged("The bundle can't be used; the log says why.") from error
        except OSError as error:
            log.error("bundle_unavailable", bundle=bundle_id, **describe_error(error))
            raise BundleUnavailable(
                "The bundle store can't be used, or there is no room; the log says why.",
                headers={"Retry-After": RETRY_AFTER_S},
            ) from error

    async def _discard_unknown(self, bundle_id: str) -> None:
        """Remove files that no row tells of: a failed commit may have been one after all.

        Called while an error is on its way, which must not be hidden by another one: where the
        database is away, the files are left to leftovers.py.
        """
        try:
            async with self._database.snapshot() as session:
                known = await repository.all_ids(session)
            if bundle_id not in known:
                await self.delete_files([bundle_id])
                await asyncio.to_thread(self.files.delete_stored, bundle_id)
        except Exception as error:  # noqa: BLE001  (the first error is the one to be told)
            log.error("bundle_files_left", bundle=bundle_id, **describe_error(error))
