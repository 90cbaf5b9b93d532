"""The galleries in memory, one a collection, brought up to date through the feed.

A write is answered only after `catch_up`, so that 201 means searchable and 204 means not found any
more. `catch_up` asks the feed what came after its own revision, whoever wrote it. `refresh` finds
what no write of this process has announced, `follow_activations` another active bundle, and
`recalibrate` brings thresholds up to date; app/gallery/follower.py calls each of them every second.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar
from uuid import UUID

import numpy as np

from app.database import Database
from app.gallery import repository
from app.gallery.live import LiveGallery
from app.gallery.repository import OF_TEMPLATES, StoredSubjects
from app.logs import get_logger
from app.problems import CollectionNotFound, EmbedderMismatch, SubjectNotFound
from app.tables import CollectionRow
from models.bundle_format import BundleInvalid
from models.calibration import Calibration
from models.runtime import NetInvalid, configure_searches
from models.trained import Trained
from models.zoo import EmbedderManifest

P = ParamSpec("P")
T = TypeVar("T")

UNUSABLE = (BundleInvalid, NetInvalid, OSError)
"""What opening a bundle, and searching with it for the first time, can come to."""

log = get_logger()


class Galleries:
    """All collections as they are searched."""

    def __init__(
        self,
        database: Database,
        embedder: EmbedderManifest,
        prior: Calibration,
        open_bundle: Callable[[str], Trained],
    ) -> None:
        """Hold nothing yet; `refresh` reads what is stored.

        Args:
            database: that the galleries follow.
            embedder: that runs.
            prior: of the embedder.
            open_bundle: opens and verifies a bundle by its id; raises BundleInvalid. It may block.
        """
        self._database = database
        self._embedder = embedder
        self._prior = prior
        self._open_bundle = open_bundle
        self._live: dict[UUID, LiveGallery] = {}
        self._ids: dict[str, UUID] = {}
        self._locks: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._activations: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)
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
        held = set(self._live)
        async with self._database.transaction() as session:
            stored = await repository.list_collections(session)
        # Not what was added during the query, which need not have seen it.
        for collection_id in held - {collection.row.id for collection in stored}:
            self.drop(collection_id)
        for collection in stored:
            live = self._live.get(collection.row.id)
            if live is None:
                await self._load(collection.row.id)
                continue
            await self.catch_up(collection.row.id, revision=collection.row.revision)

    async def follow_activations(self) -> None:
        """Take up the bundles that other processes have made the active ones."""
        async with self._database.transaction() as session:
            stored = await repository.list_collections(session)
        for collection in stored:
            live = self._live.get(collection.row.id)
            if live is not None and live.bundle_id != collection.bundle_id:
                await self._follow_activation(collection.row.id)

    async def _load(self, collection_id: UUID) -> None:
        async with self._database.snapshot() as session:
            collection = await repository.find_collection(session, collection_id)
            if collection is None:
                return
            trained = await self._opened(collection.bundle_id)
            changed: set[UUID] = set()
            if trained is not None:
                changed = await repository.subjects_changed_since(
                    session, collection_id, trained.watermark, kinds=OF_TEMPLATES
                )
            stored = await repository.load_subjects(
                session, collection_id, dimension=self._embedder.dimension
            )
        build = partial(LiveGallery.build, collection.row, stored, self._prior)
        try:
            live = await _aside(build, trained, changed)
        except UNUSABLE as error:
            if trained is None:
                raise
            self._complain(trained.id, error)
            live = await _aside(build)
        self._put(live)
        # Whoever deleted somebody meanwhile had no gallery here to catch up.
        await self.catch_up(collection_id)

    async def _opened(self, bundle_id: str | None) -> Trained | None:
        """The active bundle; None if there is none, or it can't be used: then we go on without."""
        if bundle_id is None or bundle_id in self._unusable:
            return None
        try:
            return await _aside(self._open_bundle, bundle_id)
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
            if await self._active_bundle(collection_id) == (trained and trained.id):
                await self._swap(collection_id, trained)

    async def _follow_activation(self, collection_id: UUID) -> None:
        """Take up the bundle that another process has made the active one."""
        async with self._activations[collection_id]:
            wanted = await self._active_bundle(collection_id)
            live = self._live.get(collection_id)
            if live is None or live.bundle_id == wanted or wanted in self._unusable:
                return
            trained = await self._opened(wanted)
            if wanted is None or trained is not None:
                await self._swap(collection_id, trained)

    async def _active_bundle(self, collection_id: UUID) -> str | None:
        async with self._database.transaction() as session:
            collection = await repository.find_collection(session, collection_id)
        return None if collection is None else collection.bundle_id

    async def _swap(self, collection_id: UUID, trained: Trained | None) -> None:
        live = self._live.get(collection_id)
        if live is None:
            return
        changed: set[UUID] = set()
        if trained is not None:
            async with self._database.transaction() as session:
                changed = await repository.subjects_changed_since(
                    session, collection_id, trained.watermark, kinds=OF_TEMPLATES
                )
        following = await _aside(live.with_trained, trained, changed, self._prior)
        async with self._locks[collection_id]:
            # What was enrolled and deleted while it was made.
            caught_up = await self._advanced(following)
            if caught_up is not None and collection_id in self._live:
                self._live[collection_id] = caught_up

    async def recalibrate(self) -> None:
        """Take thresholds anew from the galleries that have changed noticeably since the last."""
        for collection_id, live in list(self._live.items()):
            if not live.is_calibrated:
                calibrated = await _aside(live.calibrated, self._prior)
                async with self._locks[collection_id]:
                    now = self._live.get(collection_id)
                    if now is not None and now.bundle_id == live.bundle_id:
                        self._live[collection_id] = now.with_calibration_of(calibrated)

    def add(self, collection: CollectionRow) -> None:
        """Take up a collection that was just made."""
        nothing = StoredSubjects(
            labels={},
            owners=np.empty(0, np.int64),
            templates=np.empty((0, self._embedder.dimension), np.float32),
            rejected={},
        )
        self._put(LiveGallery.build(collection, nothing, self._prior))

    def drop(self, collection_id: UUID) -> None:
        """Forget a collection that was deleted."""
        self._dropped.add(collection_id)
        live = self._live.pop(collection_id, None)
        self._locks.pop(collection_id, None)
        self._activations.pop(collection_id, None)
        if live is not None and self._ids.get(live.collection_name) == collection_id:
            del self._ids[live.collection_name]

    def find(self, name: str) -> LiveGallery:
        """Give a collection's gallery as it is now, whatever its embedder.

        Raises:
            CollectionNotFound: there is none of this name.
        """
        collection_id = self._ids.get(name)
        if collection_id is None:
            raise CollectionNotFound("No collection has this name.")
        return self._live[collection_id]

    def live_of(self, collection_id: UUID) -> LiveGallery | None:
        """Give a collection as it is searched; None if this process has not taken it up."""
        return self._live.get(collection_id)

    def find_by_subject(self, subject_id: UUID) -> LiveGallery:
        """Give the gallery of a subject's collection.

        Raises:
            SubjectNotFound: there is no such subject.
            EmbedderMismatch: as in `find_usable`.
        """
        for live in self._live.values():
            if subject_id in live.labels:
                return self._usable(live)
        raise SubjectNotFound("No subject has this id.")

    def find_usable(self, name: str) -> LiveGallery:
        """Give a collection's gallery, whose templates can be compared with the embedder's.

        Raises:
            CollectionNotFound: there is none of this name.
            EmbedderMismatch: its templates come from another embedder than the one that runs.
        """
        return self._usable(self.find(name))

    def _usable(self, live: LiveGallery) -> LiveGallery:
        if (live.embedder_name, live.embedder_sha256) != (
            self._embedder.name,
            self._embedder.sha256,
        ):
            raise EmbedderMismatch(
                "The collection's templates were made by another embedder than the one that runs; "
                "templates of two embedders can't be compared.",
                collection_embedder={"name": live.embedder_name, "sha256": live.embedder_sha256},
                running_embedder={"name": self._embedder.name, "sha256": self._embedder.sha256},
            )
        return live

    async def catch_up(self, collection_id: UUID, *, revision: int | None = None) -> None:
        """Return when the gallery holds at least all changes up to `revision`.

        Many writers may wait here together: the first one reads for all. None: whatever is stored
        when this is called.
        """
        async with self._locks[collection_id]:
            live = self._live.get(collection_id)
            if live is None or (revision is not None and live.gallery.revision >= revision):
                return
            following = await self._advanced(live)
            if following is None:
                self.drop(collection_id)
            elif collection_id in self._live:  # else it was dropped meanwhile
                self._live[collection_id] = following

    async def _advanced(self, live: LiveGallery) -> LiveGallery | None:
        """Apply to a gallery what has been stored since; None: the collection is gone."""
        async with self._database.snapshot() as session:
            reached = await repository.current_revision(session, live.collection_id)
            if reached is None:
                return None
            changed = await repository.subjects_changed_since(
                session, live.collection_id, live.gallery.revision
            )
            if not changed:
                return live
            stored = await repository.load_subjects(
                session, live.collection_id, dimension=live.gallery.dimension, only=changed
            )
        return await _aside(live.with_changes, changed, stored, reached)

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
