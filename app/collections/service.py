"""Make, list and delete collections."""

from app.bundles.service import Bundles
from app.collections import repository
from app.collections.repository import CountedCollection
from app.collections.schemas import (
    DEFAULT_COLLECTION,
    CollectionList,
    CollectionOut,
    EmbedderOut,
    LiveGalleryOut,
)
from app.database import Database
from app.erasures.repository import write_receipts
from app.gallery.service import Galleries
from app.problems import CollectionExists, CollectionNotFound
from models.zoo import EmbedderManifest


async def ensure_default_collection(database: Database, *, embedder: EmbedderManifest) -> None:
    """Make the default collection if it is not there."""
    async with database.transaction() as session:
        await repository.insert_if_new(session, name=DEFAULT_COLLECTION, embedder=embedder)


async def create_collection(
    *, name: str, database: Database, galleries: Galleries, embedder: EmbedderManifest
) -> CollectionOut:
    """Make a collection, tied to the embedder that runs.

    Raises:
        CollectionExists: the name is taken.
    """
    async with database.transaction() as session:
        row = await repository.insert_if_new(session, name=name, embedder=embedder)
    if row is None:
        raise CollectionExists("A collection of this name exists; delete it first.")
    galleries.add(row)
    return _show(CountedCollection(row, 0, 0), galleries)


async def list_collections(*, database: Database, galleries: Galleries) -> CollectionList:
    """List all collections by name."""
    async with database.snapshot() as session:
        counted = await repository.list_counted(session)
    return CollectionList(collections=[_show(each, galleries) for each in counted])


async def get_collection(*, name: str, database: Database, galleries: Galleries) -> CollectionOut:
    """Show one collection.

    Raises:
        CollectionNotFound: there is none of this name.
    """
    galleries.find(name)
    async with database.snapshot() as session:
        counted = await repository.list_counted(session, name=name)
    if not counted:
        raise CollectionNotFound("No collection has this name.")
    return _show(counted[0], galleries)


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

    The default collection is made anew, empty and tied to the embedder that runs, so that calls
    which name no collection go on working.

    Raises:
        CollectionNotFound: there is none of this name.
    """
    collection_id = galleries.find(name).collection_id
    renewed = None
    async with database.transaction() as session:
        bundle_ids = await bundles.forget_all_of(session, collection_id)
        await write_receipts(session, collection_id=collection_id)
        deleted = await repository.delete_by_name(session, name)
        if deleted is None:
            galleries.drop(collection_id)  # another process has deleted it
            raise CollectionNotFound("No collection has this name.")
        if name == DEFAULT_COLLECTION:
            renewed = await repository.insert_if_new(session, name=name, embedder=embedder)
    galleries.drop(deleted)
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
        revision=row.revision,
        gallery=(
            None
            if live is None
            else LiveGalleryOut(revision=live.gallery.revision, subject_count=len(live.gallery))
        ),
        created_at=row.created_at,
    )
