"""The galleries that are held in memory, and how requests find theirs."""

from collections.abc import Sequence
from uuid import UUID

from app.audit.facts import note
from app.embedders.known import KnownEmbedder
from app.gallery.live import LiveGallery
from app.keys.caller import may_see
from app.problems import Behind, CollectionNotFound, EmbedderMismatch, SubjectNotFound
from models.zoo import EmbedderId


class HeldGalleries:
    """Each collection as it is searched now; app/gallery/service.py keeps them so."""

    def __init__(self, known: Sequence[KnownEmbedder]) -> None:
        """Hold nothing yet.

        Args:
            known: the embedders that run.
        """
        self._known = {each.id: each for each in known}
        self._live: dict[UUID, LiveGallery] = {}
        self._ids: dict[str, UUID] = {}
        self._not_loaded: frozenset[str] = frozenset()
        """Names of collections that are there and could not be taken up."""

    def find(self, name: str) -> LiveGallery:
        """Give a collection's gallery as it is now, whatever its embedder.

        Raises:
            CollectionNotFound: there is none of this name.
            Behind: there is one, and it can't be loaded here at present.
        """
        if not may_see(name) or (name not in self._ids and name not in self._not_loaded):
            raise CollectionNotFound("No collection has this name.")
        collection_id = self._ids.get(name)
        if collection_id is None:
            raise Behind(
                "This replica can't load the collection at present, and the log says why; try "
                "again shortly, here or at another replica.",
                headers={"Retry-After": "1"},
            )
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
