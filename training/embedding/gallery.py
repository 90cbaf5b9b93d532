"""A collection's stored templates -> an embedding store.

The rows are read in one transaction, which sees one state of the collection.
"""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection, IsolationLevel

from training.embedding.collection import (
    Collection,
    GalleryUnusable,
    dimension_of,
    find_collection,
    open_vault,
    rejected_probes,
    template_batches,
)
from training.embedding.negatives import NEGATIVES
from training.stores.format import EmbedderIdentity, read_json
from training.stores.shards import write_whole
from training.stores.store import EmbeddingStore
from training.stores.writer import StoreWriter, remove_leftovers

GALLERY = "gallery.json"
"""Beside the store: the collection that it was made from, and its watermark."""


class GalleryUnreachable(OSError):
    """The database can't be reached, or refuses to answer."""


def gallery_to_store(
    database_url: str,
    master_key: bytes,
    collection: str | UUID,
    folder: Path,
    embedder: EmbedderIdentity,
) -> int:
    """Write a store of the templates of one collection, and `GALLERY` beside it.

    Where persons have rejected what was answered, those templates stand beside it as `NEGATIVES`.

    Samples become original rows and their variants degraded ones, with the quality of their
    sample: variants have none of their own. Subject ids are the subjects' UUIDs; subjects without
    samples are left out. A call after a kill begins anew, and where the store is there already,
    it is kept as it is, whatever has been enrolled since.

    Args:
        database_url: of Postgres, as the service's setting has it.
        master_key: that the service encrypts with.
        collection: its name, or its id.
        folder: where the store will be.
        embedder: that made the templates.

    Returns:
        The watermark: the collection's revision at the moment that the store shows.

    Raises:
        GalleryUnusable: there is no such collection, its templates are another embedder's,
            damaged or encrypted with another key, or fewer than two of its subjects have samples.
        GalleryUnreachable: the database can't be read.
        FileExistsError: the store was made from something else.
        StoreInvalid: a file of a store that is there, or is begun, can't be used.
        OSError: a file can't be written.
    """
    if folder.exists():
        return _watermark_of(folder, collection, embedder)
    with reading(database_url) as connection:
        return _write(connection, master_key, collection, folder, embedder)


@contextmanager
def reading(database_url: str) -> Iterator[Connection[Any]]:
    """One transaction that sees one state of the database, and can't change it.

    Raises:
        GalleryUnusable: the address is not one of Postgres.
        GalleryUnreachable: the database can't be read, now or within the block.
    """
    if not database_url.startswith("postgres"):
        raise GalleryUnusable("the database's address must begin with postgresql://")
    try:
        with psycopg.connect(_plain(database_url)) as connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield connection
    except psycopg.Error as error:
        reason = str(error).partition("\n")[0]
        raise GalleryUnreachable(f"the gallery's database can't be read: {reason}") from error


def _plain(database_url: str) -> str:
    """The address without the name of SQLAlchemy's driver."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", database_url)


def _write(
    connection: Connection[Any],
    master_key: bytes,
    wanted: str | UUID,
    folder: Path,
    embedder: EmbedderIdentity,
) -> int:
    collection = find_collection(connection, wanted)
    if collection.embedder != embedder:
        raise GalleryUnusable(
            f"collection {collection.name!r} holds templates of {collection.embedder.name} "
            f"({collection.embedder.sha256[:12]}), not of {embedder.name} "
            f"({embedder.sha256[:12]})"
        )
    vault = open_vault(connection, master_key)
    writer = _begin(folder, embedder, dimension_of(connection, collection), collection)
    for batch in template_batches(connection, collection, writer.dimension, vault):
        writer.append(batch)
    negatives = rejected_probes(connection, collection, writer.dimension, vault)
    beside = folder.with_name(NEGATIVES)
    beside.unlink(missing_ok=True)
    if len(negatives):
        negatives.write(beside)
    document = {
        "collection": collection.name,
        "collection_id": str(collection.id),
        "embedder": asdict(embedder),
        "watermark": collection.watermark,
    }
    write_whole(folder.with_name(GALLERY), json.dumps(document, indent=2).encode())
    writer.finish()
    return collection.watermark


def _begin(
    folder: Path, embedder: EmbedderIdentity, dimension: int, collection: Collection
) -> StoreWriter:
    def begin() -> StoreWriter:
        return StoreWriter(
            folder,
            embedder=embedder,
            dimension=dimension,
            synthetic=False,
            plan=f"collection {collection.id}",
        )

    writer = begin()
    if not len(writer):
        return writer
    # Of an earlier call, and perhaps of an earlier state: reading again takes less than checking.
    shutil.rmtree(writer.aside)
    return begin()


def _watermark_of(folder: Path, collection: str | UUID, embedder: EmbedderIdentity) -> int:
    path = folder.with_name(GALLERY)
    document = read_json(path) if path.is_file() else {}
    if str(collection) not in (document.get("collection"), document.get("collection_id")):
        raise FileExistsError(
            f"{folder}: is there already, made from something else; remove it or choose another "
            "place"
        )
    EmbeddingStore.open(folder, embedder=embedder)
    remove_leftovers(folder)
    return int(document["watermark"])
