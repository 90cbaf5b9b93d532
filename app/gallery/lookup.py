"""Find the gallery that a request asks for, with at least the changes that it asks for.

What another replica has just made is not unknown here, only not here yet: before a request is told
that there is no such collection or subject, the database is asked.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from app.gallery.live import LiveGallery
from app.gallery.service import Galleries
from app.problems import Behind, CollectionNotFound, SubjectNotFound
from app.tasks import leave_to_its_end


async def find_gallery(
    galleries: Galleries, collection: str | UUID, *, min_revision: int | None = None
) -> LiveGallery:
    """Give a collection's gallery, whose templates can be compared with the embedder's.

    Args:
        galleries: of this process.
        collection: its name; or its id, which stays when names are exchanged.
        min_revision: that it must have seen; None: whatever it has seen.

    Raises:
        CollectionNotFound: there is none of this name or id.
        EmbedderMismatch: see `Galleries.find_usable`.
        Behind: the revision did not come in time, or the collection can't be loaded here.
        OperationalError: the database is away, and what is asked for is not here.
    """

    def find() -> LiveGallery:
        if isinstance(collection, UUID):
            return galleries.find_usable_by_id(collection)
        return galleries.find_usable(collection)

    return await _found(galleries, find, min_revision)


async def find_gallery_of(
    galleries: Galleries, subject_id: UUID, *, min_revision: int | None = None
) -> LiveGallery:
    """Give the gallery of a subject's collection.

    Args:
        galleries: of this process.
        subject_id: of the subject.
        min_revision: of its collection that the gallery must have seen; None: whatever it has seen.

    Raises:
        SubjectNotFound: there is no such subject.
        EmbedderMismatch, Behind, OperationalError: as in `find_gallery`.
    """
    return await _found(galleries, lambda: galleries.find_by_subject(subject_id), min_revision)


async def find_collection_id(galleries: Galleries, name: str) -> UUID:
    """Give a collection's id, whatever its embedder.

    Raises:
        CollectionNotFound, Behind, OperationalError: as in `find_gallery`.
    """
    live = await _found(galleries, lambda: galleries.find(name), None)
    return live.collection_id


async def _found(
    galleries: Galleries, find: Callable[[], LiveGallery], min_revision: int | None
) -> LiveGallery:
    async with _in_time(galleries.patience_s):
        while True:
            try:
                live = find()
            except (CollectionNotFound, SubjectNotFound):
                await leave_to_its_end(galleries.look_again())
                live = find()
            if min_revision is None or live.gallery.revision >= min_revision:
                return live
            # Then looked up again: it may be gone by now, and another one have its name.
            await leave_to_its_end(galleries.catch_up(live.collection_id, revision=min_revision))
            await galleries.wait_for(live.collection_id, min_revision)


@asynccontextmanager
async def _in_time(patience_s: float) -> AsyncIterator[None]:
    """Wait for the end of the block for so long and no longer.

    Raises:
        Behind: it takes longer.
    """
    try:
        async with asyncio.timeout(patience_s) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise Behind(
            "This replica has not yet seen the revision, or the collection, that is asked for; "
            "try again shortly, here or at another replica.",
            headers={"Retry-After": "1"},
        ) from None
