"""Make, list and delete collections."""

from app.audit.facts import note
from app.bundles.service import Bundles
from app.collections import repository
from app.collections.repository import CountedCollection
from app.collections.schemas import (
    DEFAULT_COLLECTION,
    CollectionChange,
    CollectionList,
    CollectionOut,
    EmbedderOut,
    LiveGalleryOut,
    NewCollection,
)
from app.database import Database
from app.embedders.running import Embedders
from app.erasures.repository import delete_reports
from app.erasures.service import write_receipts_of_all
from app.gallery.lookup import find_collection_id
from app.gallery.repository import embedder_of
from app.gallery.service import Galleries
from app.keys.caller import may_see
from app.problems import CollectionExists, CollectionNotFound
from models.zoo import EmbedderManifest


async def ensure_default_collection(database: Database, *, embedder: EmbedderManifest) -> None:
    """Make the default collection if it is not there."""
    async with database.transaction() as session:
        await repository.insert_if_new(session, name=DEFAULT_COLLECTION, embedder=embedder)


async def create_collection(
    new: NewCollection, *, database: Database, galleries: Galleries, embedders: Embedders
) -> CollectionOut:
    """Make a collection, tied to the embedder that it names, or to the default one.

    Raises:
        CollectionExists: the name is taken.
        EmbedderNotRunning: it names one that does not run here.
    """
    embedder = embedders.default if new.embedder is None else embedders.named(new.embedder)
    fields = new.model_dump(exclude={"embedder"})
    async with database.transaction() as session:
        row = await repository.insert_if_new(session, embedder=embedder.manifest, **fields)
    if row is None:
        raise CollectionExists("A collection of this name exists; delete it first.")
    galleries.add(row)
    note(collection_id=row.id)
    return _show(CountedCollection(row, 0, 0, 0), galleries)


async def list_collections(*, database: Database, galleries: Galleries) -> CollectionList:
    """List all collections by name that the caller may know of."""
    async with database.snapshot() as session:
        counted = await repository.list_counted(session)
    return CollectionList(
        collections=[_show(each, galleries) for each in counted if may_see(each.row.name)]
    )


async def get_collection(*, name: str, database: Database, galleries: Galleries) -> CollectionOut:
    """Show one collection.

    Raises:
        CollectionNotFound: there is none of this name.
    """
    await find_collection_id(galleries, name)
    async with database.snapshot() as session:
        counted = await repository.list_counted(session, name=name)
    if not counted:
        raise CollectionNotFound("No collection has this name.")
    return _show(counted[0], galleries)


async def update_collection(
    *, name: str, change: CollectionChange, database: Database, galleries: Galleries
) -> CollectionOut:
    """Change what a collection keeps, and for how long.

    On return no enrolment is under way that follows what was said before.

    Raises:
        CollectionNotFound: there is none of this name.
    """
    async with database.transaction() as session:
        row = await repository.lock_by_name(session, name)
        if row is None:
            raise CollectionNotFound("No collection has this name.")
        note(collection_id=row.id)
        for field in change.model_fields_set:
            setattr(row, field, getattr(change, field))
        await session.flush()
        (counted,) = await repository.list_counted(session, name=name)
    return _show(counted, galleries)


async def delete_collection(
    *,
    name: str,
    database: Database,
    galleries: Galleries,
    bundles: Bundles,
    embedder: EmbedderManifest,
) -> None:
    """Delete a collection with its subjects and bundles; nobody is found any more.

    Each subject leaves a receipt of its erasure.

    The default collection is made anew, empty and tied to the default embedder, so that calls
    which name no collection go on working. It keeps what it was told of pictures and retention.

    Raises:
        CollectionNotFound: there is none of this name.
    """
    collection_id = await find_collection_id(galleries, name)
    renewed = None
    async with database.transaction() as session:
        bundle_ids = await bundles.forget_all_of(session, collection_id)
        await write_receipts_of_all(
            session,
            collection_id=collection_id,
            bundle_ids=bundle_ids,
            holds=bundles.files.holds,
        )
        await delete_reports(session, collection_id=collection_id)
        deleted = await repository.delete_as(session, collection_id, name=name)
        if deleted is None:
            if await embedder_of(session, collection_id) is None:
                galleries.drop(collection_id)  # another process has deleted it
            raise CollectionNotFound("No collection has this name.")
        if name == DEFAULT_COLLECTION:
            renewed = await repository.insert_if_new(
                session,
                name=name,
                embedder=embedder,
                keep_pictures=deleted.keep_pictures,
                picture_days=deleted.picture_days,
                subject_days=deleted.subject_days,
            )
    galleries.drop(deleted.id)
    if renewed is not None:
        galleries.add(renewed)
    await bundles.delete_files(bundle_ids)


def _show(counted: CountedCollection, galleries: Galleries) -> CollectionOut:
    row = counted.row
    live = galleries.live_of(row.id)
    return CollectionOut(
        name=row.name,
        embedder=EmbedderOut(name=row.embedder_name, sha256=row.embedder_sha256),
        subject_count=counted.subject_count,
        sample_count=counted.sample_count,
        picture_count=counted.picture_count,
        keep_pictures=row.keep_pictures,
        picture_days=row.picture_days,
        subject_days=row.subject_days,
        revision=row.revision,
        gallery=(
            None
            if live is None
            else LiveGalleryOut(revision=live.gallery.revision, subject_count=len(live.gallery))
        ),
        created_at=row.created_at,
    )
