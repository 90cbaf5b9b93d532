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
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import ParamSpec, TypeVar
from uuid import UUID

import numpy as np

from app.audit.facts import note
from app.database import Database
from app.embedders.known import KnownEmbedder
from app.gallery import repository
from app.gallery.live import LiveGallery
from app.gallery.repository import OF_TEMPLATES, StoredCollection, StoredSubjects
from app.keys.caller import may_see
from app.logs import get_logger
from app.problems import CollectionNotFound, EmbedderMismatch, SubjectNotFound
from app.tables import CollectionRow
from app.tracing import span
from models.bundle_format import BundleInvalid
from models.runtime import NetInvalid, configure_searches
from models.trained import Trained
from models.zoo import EmbedderId
from vault.vault import Vault

P = ParamSpec("P")
T = TypeVar("T")

LOOK_AGAIN_S = 0.05
"""Between two looks at the database for what requests ask for and is not here: whoever asks for
nonsense, however often, causes no more of them."""

UNUSABLE = (BundleInvalid, NetInvalid, OSError)
"""What opening a bundle, and searching with it for the first time, can come to."""

log = get_logger()


class Galleries:
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
        self._database = database
        self._known = {each.id: each for each in known}
        self._open_bundle = open_bundle
        self._vault = vault
        self._live: dict[UUID, LiveGallery] = {}
        self._ids: dict[str, UUID] = {}
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
        self._unusable: set[str] = set()
        """Bundles that are not tried again."""
        self._complained: set[str] = set()
        """Bundles that could not be used: it is said once."""

    async def refresh(self) -> None:
        """Hold the collections that the database holds, each at least as it is now.

        Needed once, before anything is searched, and again whenever others may have written. Costs
        one query where nothing has changed.
        """
        await self.follow_changes()
        await self.load_new()

    async def follow_changes(self) -> None:
        """Bring what is held up to date, and drop the collections that were deleted."""
        held, names = set(self._live), set(self._ids)
        stored = await self._stored()
        # Not what was added during the query, which need not have seen it.
        for collection_id in held - {collection.row.id for collection in stored}:
            self.drop(collection_id)
        for collection in stored:
            await self.catch_up(collection.row.id, revision=collection.row.revision)
        # Two collections that exchange their names do so here one after the other, each at its
        # turn taking the one that the other still has.
        for name in names - {collection.row.name for collection in stored}:
            self._ids.pop(name, None)
        for collection in stored:
            live = self._live.get(collection.row.id)
            if live is not None and live.collection_name == collection.row.name:
                self._ids[collection.row.name] = collection.row.id

    async def load_new(self) -> None:
        """Take up the collections that are not held yet."""
        for collection in await self._stored():
            if collection.row.id not in self._live:
                await self._load(collection.row.id)

    async def look_again(self) -> None:
        """Refresh for a request that asks for something which is not here.

        Who asks at about the same time shares a look, and the next one has to wait a little.
        """
        came = monotonic()
        async with self._looking:
            if self._looked_at >= came:
                return
            await asyncio.sleep(self._looked_at + LOOK_AGAIN_S - monotonic())
            begun = monotonic()
            await self.refresh()
            self._looked_at = begun

    async def follow_activations(self) -> None:
        """Take up the bundles that other processes have made the active ones."""
        for collection in await self._stored():
            live = self._live.get(collection.row.id)
            if live is not None and live.bundle_id != collection.bundle_id:
                await self.follow_activation(collection.row.id)

    async def _stored(self) -> list[StoredCollection]:
        async with self._database.snapshot() as session:
            return await repository.list_collections(session)

    async def _load(self, collection_id: UUID) -> None:
        async with self._loads[collection_id]:
            if collection_id not in self._live:
                await self._load_alone(collection_id)

    async def _load_alone(self, collection_id: UUID) -> None:
        live = await self._read(collection_id)
        if live is None:
            return
        self._put(live)
        # Whoever deleted somebody meanwhile had no gallery here to catch up.
        await self.catch_up(collection_id)

    async def _read(self, collection_id: UUID) -> LiveGallery | None:
        """Make a collection's gallery from all that is stored; None: it is gone."""
        async with self._database.snapshot() as session:
            collection = await repository.find_collection(session, collection_id)
            if collection is None:
                return None
            known = self._known_or_any(collection.embedder)
            trained = await self._opened(collection.bundle_id, collection.embedder)
            changed: set[UUID] = set()
            if trained is not None:
                changed = await repository.subjects_changed_since(
                    session, collection_id, trained.watermark, kinds=OF_TEMPLATES
                )
            stored = await repository.load_subjects(
                session, collection_id, self._vault, dimension=known.manifest.dimension
            )
        build = partial(LiveGallery.build, collection.row, stored, known.prior)
        try:
            return await _aside(build, trained, changed)
        except UNUSABLE as error:
            if trained is None:
                raise
            self._complain(trained.id, error)
            return await _aside(build)

    def _known_or_any(self, embedder: EmbedderId) -> KnownEmbedder:
        """A gallery of an embedder that does not run is held, too, but never searched."""
        return self._known.get(embedder) or next(iter(self._known.values()))

    async def _opened(self, bundle_id: str | None, embedder: EmbedderId) -> Trained | None:
        """The active bundle; None if there is none, or it can't be used: then we go on without."""
        if bundle_id is None or bundle_id in self._unusable:
            return None
        try:
            return await _aside(self._open_bundle, bundle_id, embedder)
        except UNUSABLE as error:
            self._complain(bundle_id, error)
            return None

    def _complain(self, bundle_id: str, error: Exception) -> None:
        if bundle_id not in self._complained:
            # The message names a file and says what is wrong with it; it holds nothing of anybody.
            log.error("bundle_unusable", bundle=bundle_id, reason=str(error))
        self._complained.add(bundle_id)
        # What is wrong with a file stays so; a disk that can't be read may come back.
        if not isinstance(error, OSError):
            self._unusable.add(bundle_id)

    async def activate(self, collection_id: UUID, trained: Trained | None) -> None:
        """Search a collection with another bundle from now on, or with none.

        The next gallery is made aside while this one answers, and takes its place by one
        assignment. The database must name the bundle as the active one already: another one that
        was committed meanwhile is left to whoever committed it.
        """
        async with self._activations[collection_id]:
            collection = await self._stored_as(collection_id)
            if collection is not None and collection.bundle_id == (trained and trained.id):
                await self._swap(collection_id, trained)

    async def follow_activation(self, collection_id: UUID) -> None:
        """Take up the bundle that another process has made the active one."""
        async with self._activations[collection_id]:
            collection = await self._stored_as(collection_id)
            live = self._live.get(collection_id)
            if collection is None or live is None or live.embedder != collection.embedder:
                return  # the gallery is about to follow
            wanted = collection.bundle_id
            if live.bundle_id == wanted or wanted in self._unusable:
                return
            trained = await self._opened(wanted, live.embedder)
            if wanted is None or trained is not None:
                await self._swap(collection_id, trained)

    async def _stored_as(self, collection_id: UUID) -> StoredCollection | None:
        async with self._database.snapshot() as session:
            return await repository.find_collection(session, collection_id)

    async def _swap(self, collection_id: UUID, trained: Trained | None) -> None:
        live = self._live.get(collection_id)
        if live is None:
            return
        changed: set[UUID] = set()
        if trained is not None:
            async with self._database.snapshot() as session:
                changed = await repository.subjects_changed_since(
                    session, collection_id, trained.watermark, kinds=OF_TEMPLATES
                )
        prior = self._known_or_any(live.embedder).prior
        following = await _aside(live.with_trained, trained, changed, prior)
        async with self._locks[collection_id]:
            # What was enrolled and deleted while it was made.
            caught_up = await self._advanced(following)
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
                prior = self._known_or_any(live.embedder).prior
                calibrated = await _aside(live.calibrated, prior)
                async with self._locks[collection_id]:
                    now = self._live.get(collection_id)
                    if now is not None and now.searches_like(live):
                        self._live[collection_id] = now.with_calibration_of(calibrated)

    def add(self, collection: CollectionRow) -> None:
        """Take up a collection that was just made."""
        embedder = EmbedderId(collection.embedder_name, collection.embedder_sha256)
        known = self._known_or_any(embedder)
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

    def find(self, name: str) -> LiveGallery:
        """Give a collection's gallery as it is now, whatever its embedder.

        Raises:
            CollectionNotFound: there is none of this name.
        """
        collection_id = self._ids.get(name) if may_see(name) else None
        if collection_id is None:
            raise CollectionNotFound("No collection has this name.")
        note(collection_id=collection_id)
        return self._live[collection_id]

    def live_of(self, collection_id: UUID) -> LiveGallery | None:
        """Give a collection as it is searched; None if this process has not taken it up."""
        return self._live.get(collection_id)

    def all(self) -> list[LiveGallery]:
        """Give all collections as they are searched now."""
        return list(self._live.values())

    @property
    def embedders(self) -> Sequence[EmbedderId]:
        """List the embedders that run, the default one first."""
        return list(self._known)

    def bundles_in_use(self) -> set[str]:
        """List the bundles that collections are searched with here."""
        return {live.bundle_id for live in self._live.values() if live.bundle_id is not None}

    def find_by_subject(self, subject_id: UUID) -> LiveGallery:
        """Give the gallery of a subject's collection.

        Raises:
            SubjectNotFound: there is no such subject.
            EmbedderMismatch: as in `find_usable`.
        """
        for live in self._live.values():
            if subject_id in live.labels and may_see(live.collection_name):
                note(collection_id=live.collection_id)
                return self._usable(live)
        raise SubjectNotFound("No subject has this id.")

    def find_usable(self, name: str) -> LiveGallery:
        """Give a collection's gallery, whose embedder runs.

        Raises:
            CollectionNotFound: there is none of this name.
            EmbedderMismatch: its templates come from an embedder that does not run here.
        """
        return self._usable(self.find(name))

    def find_usable_by_id(self, collection_id: UUID) -> LiveGallery:
        """Give the gallery of a collection by its id.

        Raises:
            CollectionNotFound, EmbedderMismatch: as in `find_usable`.
        """
        live = self._live.get(collection_id)
        if live is None:
            raise CollectionNotFound("The collection was deleted meanwhile.")
        return self._usable(live)

    def _usable(self, live: LiveGallery) -> LiveGallery:
        if live.embedder not in self._known:
            raise EmbedderMismatch(
                "The collection's templates were made by an embedder that does not run here; "
                "templates of two embedders can't be compared.",
                collection_embedder=live.embedder._asdict(),
                running_embedders=[each._asdict() for each in self._known],
            )
        return live

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
                following = await self._advanced(live)
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

    async def _advanced(self, live: LiveGallery) -> LiveGallery | None:
        """Apply to a gallery what has been stored since; None: the collection is gone."""
        collection_id = live.collection_id
        async with self._database.snapshot() as session:
            reached = await repository.current_revision(session, collection_id)
            if reached is None:
                return None
            changes = await repository.changes_since(session, collection_id, live.gallery.revision)
            if not changes.kinds:
                return live
            if "renamed" in changes.kinds:
                live = live.named(await repository.name_of(session, collection_id))
            if "embedder_changed" not in changes.kinds:
                stored = await repository.load_subjects(
                    session,
                    collection_id,
                    self._vault,
                    dimension=live.gallery.dimension,
                    only=changes.subjects,
                )
        if "embedder_changed" in changes.kinds:
            # Nothing of it is as it was: it is read whole while searches go on with the one before.
            return await self._read(collection_id)
        return await _aside(live.with_changes, changes.subjects, stored, reached)

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


async def _aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what takes long in a thread, on one processor: requests need the others."""

    def on_one_thread() -> T:
        configure_searches(1)
        return work(*args, **kwargs)

    return await asyncio.to_thread(on_one_thread)
