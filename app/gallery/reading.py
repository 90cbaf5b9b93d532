"""Make galleries from what is stored: whole, or from one before and what has changed since."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import ParamSpec, TypeVar
from uuid import UUID

from app.database import Database
from app.embedders.known import KnownEmbedder
from app.gallery import repository
from app.gallery.live import LiveGallery
from app.gallery.repository import OF_TEMPLATES, StoredCollection
from app.logs import get_logger
from models.bundle_format import BundleInvalid
from models.runtime import NetInvalid, configure_searches
from models.trained import Trained
from models.zoo import EmbedderId
from vault.vault import Vault

P = ParamSpec("P")
T = TypeVar("T")

UNUSABLE = (BundleInvalid, NetInvalid, OSError)
"""What opening a bundle, and searching with it for the first time, can come to."""

log = get_logger()


class GalleryReader:
    """Reads collections, and opens the bundles that they are searched with."""

    def __init__(
        self,
        database: Database,
        known: Mapping[EmbedderId, KnownEmbedder],
        open_bundle: Callable[[str, EmbedderId], Trained],
        vault: Vault,
    ) -> None:
        """Take what it needs.

        Args:
            database: that has the collections.
            known: the embedders that run, one at least.
            open_bundle: see `Galleries`.
            vault: opens the stored templates.
        """
        self._database = database
        self._known = known
        self._open_bundle = open_bundle
        self._vault = vault
        self._unusable: set[str] = set()
        """Bundles that are not tried again."""
        self._complained: set[str] = set()
        """Bundles that could not be used: it is said once."""

    async def collections(self) -> list[StoredCollection]:
        """List all collections by name."""
        async with self._database.snapshot() as session:
            return await repository.list_collections(session)

    async def collection(self, collection_id: UUID) -> StoredCollection | None:
        """Find a collection by its id."""
        async with self._database.snapshot() as session:
            return await repository.find_collection(session, collection_id)

    async def read(self, collection_id: UUID) -> LiveGallery | None:
        """Make a collection's gallery from all that is stored; None: it is gone."""
        async with self._database.snapshot() as session:
            collection = await repository.find_collection(session, collection_id)
            if collection is None:
                return None
            known = self.known_or_any(collection.embedder)
            trained = await self.opened(collection.bundle_id, collection.embedder)
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
            return await aside(build, trained, changed)
        except UNUSABLE as error:
            if trained is None:
                raise
            self._complain(trained.id, error)
            return await aside(build)

    async def advanced(self, live: LiveGallery) -> LiveGallery | None:
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
            return await self.read(collection_id)
        return await aside(live.with_changes, changes.subjects, stored, reached)

    async def with_bundle(self, live: LiveGallery, trained: Trained | None) -> LiveGallery:
        """Make a gallery that is searched with another bundle, or with none."""
        changed: set[UUID] = set()
        if trained is not None:
            async with self._database.snapshot() as session:
                changed = await repository.subjects_changed_since(
                    session, live.collection_id, trained.watermark, kinds=OF_TEMPLATES
                )
        prior = self.known_or_any(live.embedder).prior
        return await aside(live.with_trained, trained, changed, prior)

    def known_or_any(self, embedder: EmbedderId) -> KnownEmbedder:
        """A gallery of an embedder that does not run is held, too, but never searched."""
        return self._known.get(embedder) or next(iter(self._known.values()))

    def gave_up(self, bundle_id: str | None) -> bool:
        """Whether a bundle is not tried again."""
        return bundle_id in self._unusable

    async def opened(self, bundle_id: str | None, embedder: EmbedderId) -> Trained | None:
        """The active bundle; None if there is none, or it can't be used: then we go on without."""
        if bundle_id is None or bundle_id in self._unusable:
            return None
        try:
            return await aside(self._open_bundle, bundle_id, embedder)
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


async def aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what takes long in a thread, on one processor: requests need the others."""

    def on_one_thread() -> T:
        configure_searches(1)
        return work(*args, **kwargs)

    return await asyncio.to_thread(on_one_thread)
