"""The galleries in memory, one a collection, brought up to date through the feed.

A write is answered only after `catch_up`, so that 201 means searchable and 204 means not found any
more. `catch_up` asks the feed what came after its own revision, whoever wrote it. `refresh` finds
what no write of this process has announced, `follow_activations` another active bundle, and
`recalibrate` brings thresholds up to date; app/gallery/follower.py calls each of them every second,
app/gallery/hearing.py as soon as another replica tells of a change. Requests look galleries up
through app/gallery/lookup.py, which asks the database for what is not here yet.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from uuid import UUID

import numpy as np

from app.database import Database
from app.embedders.known import KnownEmbedder
from app.gallery.held import HeldGalleries
from app.gallery.live import LiveGallery
from app.gallery.reading import GalleryReader, aside
from app.gallery.repository import StoredSubjects
from app.tables import CollectionRow
from app.tracing import span
from models.trained import Trained
from models.zoo import EmbedderId
from vault.vault import Vault

LOOK_AGAIN_S = 0.05
"""Between two looks at the database for what requests ask for and is not here: whoever asks for
nonsense, however often, causes no more of them."""

FOLLOWED_AT_ONCE = 4
"""Collections that are brought up to date together: requests need connections, too."""

CatchUpAll = Callable[[Mapping[UUID, int]], Awaitable[list[BaseException]]]
"""Brings collections up to revisions; gives what went wrong with some."""


class Galleries(HeldGalleries):
    """All collections as they are searched."""

    def __init__(
        self,
        database: Database,
        known: Sequence[KnownEmbedder],
        open_bundle: Callable[[str, EmbedderId], Trained],
        vault: Vault,
        *,
        patience_s: float = 2.0,
    ) -> None:
        """Hold nothing yet; `refresh` reads what is stored.

        Args:
            database: that the galleries follow.
            known: the embedders that run.
            open_bundle: opens and verifies a bundle by its id, for templates of an embedder; raises
                BundleInvalid. It may block.
            vault: opens the stored templates.
            patience_s: how long a request waits for what is stored and not here yet.
        """
        self.patience_s = patience_s
        super().__init__(known)
        self._reader = GalleryReader(database, self._known, open_bundle, vault)
        self._few = asyncio.Semaphore(FOLLOWED_AT_ONCE)
        self._locks: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._activations: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._loads: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._read_at: dict[UUID, float] = {}
        """When the last reading of the feed began that has ended well."""
        self._looking = asyncio.Lock()
        self._looked_at = -LOOK_AGAIN_S
        self._moved = asyncio.Event()
        """Set, and replaced, when a gallery follows another one."""
        self._dropped: set[UUID] = set()

    async def refresh(self) -> None:
        """Hold the collections that the database holds, each at least as it is now.

        Needed once, before anything is searched, and again whenever others may have written. Costs
        one query where nothing has changed. What a collection raises comes out when all others have
        been seen to.
        """
        _raise_first(await self._follow_all(self._catch_up_all) + await self._load_all())

    async def follow_changes(self, catch_up_all: CatchUpAll | None = None) -> None:
        """Bring what is held up to date, and drop the collections that were deleted.

        What a collection raises comes out when all others have followed.

        Args:
            catch_up_all: need not come back only when all are up to date; None: does.
        """
        _raise_first(await self._follow_all(catch_up_all or self._catch_up_all))

    async def _follow_all(self, catch_up_all: CatchUpAll) -> list[BaseException]:
        held, names = set(self._live), set(self._ids)
        stored = await self._reader.collections()
        # Not what was added during the query, which need not have seen it.
        for collection_id in held - {collection.row.id for collection in stored}:
            self.drop(collection_id)
        errors = await catch_up_all(
            {
                collection.row.id: collection.row.revision
                for collection in stored
                if not self._holds(collection.row.id, collection.row.revision)
            }
        )
        # Two collections that exchange their names do so here one after the other, each at its
        # turn taking the one that the other still has.
        for name in names - {collection.row.name for collection in stored}:
            self._ids.pop(name, None)
        for collection in stored:
            live = self._live.get(collection.row.id)
            if live is not None and live.collection_name == collection.row.name:
                self._ids[collection.row.name] = collection.row.id
        return errors

    async def _catch_up_all(self, behind: Mapping[UUID, int]) -> list[BaseException]:
        # Each by itself: one that fails, or is read whole, must not keep the others back.
        outcomes = await asyncio.gather(
            *(self.follow(each, revision) for each, revision in behind.items()),
            return_exceptions=True,
        )
        return [each for each in outcomes if isinstance(each, BaseException)]

    async def follow(self, collection_id: UUID, revision: int) -> None:
        """Do `catch_up`, but not for too many collections at once."""
        async with self._few:
            await self.catch_up(collection_id, revision=revision)

    async def load_new(self) -> None:
        """Take up the collections that are not held yet; raises as `follow_changes`."""
        _raise_first(await self._load_all())

    async def _load_all(self) -> list[BaseException]:
        errors: dict[str, BaseException] = {}
        for collection in await self._reader.collections():
            if collection.row.id not in self._live:
                try:
                    await self._load(collection.row.id)
                except Exception as error:  # noqa: BLE001  (the others are taken up first)
                    errors[collection.row.name] = error
        self._not_loaded = frozenset(errors)
        return list(errors.values())

    async def look_again(self) -> None:
        """Refresh for a request that asks for something which is not here.

        Who asks at about the same time shares a look, and the next one has to wait a little. What
        a single collection raises is left to the follower: the request is about another one, or
        about one that `find` knows could not be loaded.
        """
        came = monotonic()
        async with self._looking:
            if self._looked_at >= came:
                return
            await asyncio.sleep(self._looked_at + LOOK_AGAIN_S - monotonic())
            begun = monotonic()
            await self._follow_all(self._catch_up_all)
            await self._load_all()
            self._looked_at = begun

    async def follow_activations(self) -> None:
        """Take up the bundles that other processes have made the active ones."""
        for collection in await self._reader.collections():
            live = self._live.get(collection.row.id)
            if live is not None and live.bundle_id != collection.bundle_id:
                await self.follow_activation(collection.row.id)

    async def _load(self, collection_id: UUID) -> None:
        async with self._loads[collection_id]:
            if collection_id not in self._live:
                await self._load_alone(collection_id)

    async def _load_alone(self, collection_id: UUID) -> None:
        live = await self._reader.read(collection_id)
        if live is None:
            return
        self._put(live)
        # Whoever deleted somebody meanwhile had no gallery here to catch up.
        await self.catch_up(collection_id)

    async def activate(self, collection_id: UUID, trained: Trained | None) -> None:
        """Search a collection with another bundle from now on, or with none.

        The next gallery is made aside while this one answers, and takes its place by one
        assignment. The database must name the bundle as the active one already: another one that
        was committed meanwhile is left to whoever committed it.
        """
        async with self._activations[collection_id]:
            collection = await self._reader.collection(collection_id)
            if collection is not None and collection.bundle_id == (trained and trained.id):
                await self._swap(collection_id, trained)

    async def follow_activation(self, collection_id: UUID) -> None:
        """Take up the bundle that another process has made the active one."""
        async with self._activations[collection_id]:
            collection = await self._reader.collection(collection_id)
            live = self._live.get(collection_id)
            if collection is None or live is None or live.embedder != collection.embedder:
                return  # the gallery is about to follow
            wanted = collection.bundle_id
            if live.bundle_id == wanted or self._reader.gave_up(wanted):
                return
            trained = await self._reader.opened(wanted, live.embedder)
            if wanted is None or trained is not None:
                await self._swap(collection_id, trained)

    async def _swap(self, collection_id: UUID, trained: Trained | None) -> None:
        live = self._live.get(collection_id)
        if live is None:
            return
        following = await self._reader.with_bundle(live, trained)
        async with self._locks[collection_id]:
            # What was enrolled and deleted while it was made.
            caught_up = await self._reader.advanced(following)
            if caught_up is not None:
                self._follow_with(caught_up)

    async def forget_deleted(self) -> None:
        """Have no templates of deleted subjects in memory any more.

        A deletion hides rows, since making a large gallery anew takes long: here it is done once
        for all of them. What a bundle has learnt goes with the bundle.
        """
        for collection_id, live in list(self._live.items()):
            if live.hides_deleted:
                async with self._activations[collection_id]:
                    now = self._live.get(collection_id)
                    if now is not None:
                        await self._swap(collection_id, now.gallery.trained)

    async def recalibrate(self) -> None:
        """Take thresholds anew from the galleries that have changed noticeably since the last."""
        for collection_id, live in list(self._live.items()):
            if not live.is_calibrated:
                prior = self._reader.known_or_any(live.embedder).prior
                calibrated = await aside(live.calibrated, prior)
                async with self._locks[collection_id]:
                    now = self._live.get(collection_id)
                    if now is not None and now.searches_like(live):
                        self._live[collection_id] = now.with_calibration_of(calibrated)

    def add(self, collection: CollectionRow) -> None:
        """Take up a collection that was just made."""
        embedder = EmbedderId(collection.embedder_name, collection.embedder_sha256)
        known = self._reader.known_or_any(embedder)
        nothing = StoredSubjects(
            labels={},
            owners=np.empty(0, np.int64),
            templates=np.empty((0, known.manifest.dimension), np.float32),
            rejected={},
        )
        self._put(LiveGallery.build(collection, nothing, known.prior))

    def drop(self, collection_id: UUID) -> None:
        """Forget a collection that was deleted."""
        self._dropped.add(collection_id)
        live = self._live.pop(collection_id, None)
        self._locks.pop(collection_id, None)
        self._activations.pop(collection_id, None)
        self._loads.pop(collection_id, None)
        self._read_at.pop(collection_id, None)
        if live is not None and self._ids.get(live.collection_name) == collection_id:
            del self._ids[live.collection_name]
        self._wake_those_who_wait()

    async def catch_up(self, collection_id: UUID, *, revision: int | None = None) -> None:
        """Return when the gallery holds at least all changes up to `revision`.

        Many may wait here together: the first one who has not begun when they come reads for all.
        None: whatever is stored when this is called. A revision that is not stored is not waited
        for.
        """
        came = monotonic()
        if self._holds(collection_id, revision):
            return
        async with self._locks[collection_id]:
            live = self._live.get(collection_id)
            if live is None or self._holds(collection_id, revision):
                return
            if self._read_at.get(collection_id, came) > came:
                return
            begun = monotonic()
            with span("catch up"):
                following = await self._reader.advanced(live)
            if following is None:
                self.drop(collection_id)
                return
            self._follow_with(following)
            self._read_at[collection_id] = begun

    def _holds(self, collection_id: UUID, revision: int | None) -> bool:
        live = self._live.get(collection_id)
        return live is None or (revision is not None and live.gallery.revision >= revision)

    async def wait_for(self, collection_id: UUID, revision: int) -> None:
        """Return when the gallery holds a revision, however long that takes, or is there no more.

        Asks nobody: `catch_up` and the follower do.
        """
        while not self._holds(collection_id, revision):
            await self._moved.wait()

    def _follow_with(self, following: LiveGallery) -> None:
        if following.collection_id in self._live:  # else it was dropped meanwhile
            self._live[following.collection_id] = following
            self._ids[following.collection_name] = following.collection_id
            self._wake_those_who_wait()

    def _wake_those_who_wait(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def catch_up_with(self, subject_id: UUID) -> None:
        """Bring the gallery that has a subject, if one does, up to what is stored of it."""
        for live in list(self._live.values()):
            if subject_id in live.labels:
                await self.catch_up(live.collection_id)

    def _put(self, live: LiveGallery) -> None:
        # It may have been deleted while it was read, or taken up by another and changed since.
        if live.collection_id in self._dropped or live.collection_id in self._live:
            return
        self._live[live.collection_id] = live
        self._ids[live.collection_name] = live.collection_id


def _raise_first(errors: Sequence[BaseException]) -> None:
    if errors:
        raise errors[0]
