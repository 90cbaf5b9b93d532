"""The galleries in memory, one a collection, brought up to date through the feed.

A write is answered only after `catch_up`, so that 201 means searchable and 204 means not found any
more. `catch_up` asks the feed what came after its own revision, whoever wrote it. `refresh` finds
what no write of this process has announced; app/gallery/follower.py calls it each second.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self
from uuid import UUID

import numpy as np

from app.database import Database
from app.gallery import repository
from app.gallery.repository import Label, StoredSubjects
from app.problems import CollectionNotFound, EmbedderMismatch, SubjectNotFound
from app.tables import CollectionRow
from models.gallery import Gallery
from models.zoo import EmbedderManifest


@dataclass(frozen=True)
class LiveGallery:
    """One collection as it is searched. Immutable: a reader finishes on the one it took."""

    collection_id: UUID
    collection_name: str
    embedder_name: str
    embedder_sha256: str
    gallery: Gallery
    labels: Mapping[UUID, Label] = field(repr=False)

    @classmethod
    def build(cls, collection: CollectionRow, stored: StoredSubjects) -> Self:
        """Make the first gallery of a collection, as of the revision in its row."""
        return cls(
            collection_id=collection.id,
            collection_name=collection.name,
            embedder_name=collection.embedder_name,
            embedder_sha256=collection.embedder_sha256,
            gallery=Gallery.build(
                list(stored.labels),
                stored.owners,
                stored.templates,
                dimension=stored.templates.shape[1],
                revision=collection.revision,
            ),
            labels=stored.labels,
        )

    def with_changes(self, changed: set[UUID], stored: StoredSubjects, revision: int) -> Self:
        """Make the gallery that follows.

        Args:
            changed: subjects that are new, different or gone.
            stored: those of them that are not gone, as they are now.
            revision: of the feed, up to which they were read.
        """
        upserts = {
            subject_id: templates
            for position, subject_id in enumerate(stored.labels)
            if len(templates := stored.templates[stored.owners == position])
        }
        gallery = self.gallery.with_changes(upserts, changed - set(upserts), revision=revision)
        labels = dict(self.labels)
        for subject_id in changed:
            labels.pop(subject_id, None)
        return replace(self, gallery=gallery, labels=labels | stored.labels)


class Galleries:
    """All collections as they are searched."""

    def __init__(self, database: Database, embedder: EmbedderManifest) -> None:
        self._database = database
        self._embedder = embedder
        self._live: dict[UUID, LiveGallery] = {}
        self._ids: dict[str, UUID] = {}
        self._locks: dict[UUID, asyncio.Lock] = {}
        self._dropped: set[UUID] = set()

    async def refresh(self) -> None:
        """Hold the collections that the database holds, each at least as it is now.

        Needed once, before anything is searched, and again whenever others may have written. Costs
        one query where nothing has changed.
        """
        held = set(self._live)
        async with self._database.transaction() as session:
            stored = await repository.list_collections(session)
        # Not what was added during the query, which need not have seen it.
        for collection_id in held - {collection.id for collection in stored}:
            self.drop(collection_id)
        for collection in stored:
            if collection.id in self._live:
                await self.catch_up(collection.id, revision=collection.revision)
            else:
                await self._load(collection.id)

    async def _load(self, collection_id: UUID) -> None:
        async with self._database.snapshot() as session:
            collection = await repository.find_collection(session, collection_id)
            if collection is None:
                return
            stored = await repository.load_subjects(
                session, collection_id, dimension=self._embedder.dimension
            )
        self._put(await asyncio.to_thread(LiveGallery.build, collection, stored))

    def add(self, collection: CollectionRow) -> None:
        """Take up a collection that was just made."""
        nothing = StoredSubjects(
            labels={},
            owners=np.empty(0, np.int64),
            templates=np.empty((0, self._embedder.dimension), np.float32),
        )
        self._put(LiveGallery.build(collection, nothing))

    def drop(self, collection_id: UUID) -> None:
        """Forget a collection that was deleted."""
        self._dropped.add(collection_id)
        live = self._live.pop(collection_id, None)
        self._locks.pop(collection_id, None)
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

    def gallery_of(self, collection_id: UUID) -> Gallery | None:
        """Give the gallery of a collection; None if this process has not taken it up."""
        live = self._live.get(collection_id)
        return None if live is None else live.gallery

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
        async with self._locks.setdefault(collection_id, asyncio.Lock()):
            live = self._live.get(collection_id)
            if live is None or (revision is not None and live.gallery.revision >= revision):
                return
            async with self._database.snapshot() as session:
                reached = await repository.current_revision(session, collection_id)
                if reached is None:
                    self.drop(collection_id)
                    return
                changed = await repository.subjects_changed_since(
                    session, collection_id, live.gallery.revision
                )
                stored = await repository.load_subjects(
                    session, collection_id, dimension=live.gallery.dimension, only=changed
                )
            following = await asyncio.to_thread(live.with_changes, changed, stored, reached)
            if collection_id in self._live:  # else it was dropped meanwhile
                self._live[collection_id] = following

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
