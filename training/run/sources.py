"""The stage `embed`: pictures or a gallery -> the run's store.

It keeps records of its own beside the store, embed.json or gallery.json, by which it knows what
the store was made from. A store that was put in its place by hand has neither, and is as good.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.run.folder import RunFolder
from training.run.job import Progress
from training.stores.format import EmbedderIdentity, Manifest

FEW_NAMES = 5
"""Subjects without a face that are named, of many."""


@dataclass(frozen=True)
class Pictures:
    """A folder of pictures, one folder a subject."""

    images: Path
    min_images: int
    """Subjects with fewer pictures are left out."""
    embedder: Path
    """Manifest of the embedder."""


@dataclass(frozen=True)
class Gallery:
    """A collection of the service."""

    collection: str
    database_url: str = field(repr=False)
    master_key: bytes = field(repr=False)
    """That the service encrypts with."""
    embedder: Path
    """Manifest of the embedder that made its templates."""


def embed(folder: RunFolder, source: Pictures | Gallery, progress: Progress) -> str:
    """Make the store, go on with it, or find that it is there.

    Args:
        folder: of the run.
        source: of the vectors.
        progress: pictures done, and all of them.

    Returns:
        What it holds, in a sentence.

    Raises:
        ValueError: of its subclasses that `embed_folder` and `gallery_to_store` raise.
        OSError: likewise; FileExistsError where the store was made from something else.
    """
    match source:
        case Pictures():
            return _embed_pictures(folder, source, progress)
        case Gallery():
            return _read_gallery(folder, source)


def watermark(folder: RunFolder) -> int | None:
    """Revision of the gallery up to which the store knows it; None: not from a gallery."""
    document = _gallery_record(folder)
    return None if document is None else int(document["watermark"])


def collection_id(folder: RunFolder) -> str | None:
    """Id of the collection that the store was made from; None: not from a gallery."""
    document = _gallery_record(folder)
    return None if document is None else str(document["collection_id"])


def _gallery_record(folder: RunFolder) -> dict[str, Any] | None:
    from training.embedding.gallery import GALLERY
    from training.stores.format import read_json

    path = folder.store.with_name(GALLERY)
    return read_json(path) if path.is_file() else None


def _embed_pictures(folder: RunFolder, source: Pictures, progress: Progress) -> str:
    from training.embedding.folders import SKIPPED, embed_folder
    from training.embedding.listing import EmbedSettings

    made = embed_folder(
        source.images,
        folder.store,
        embedder_manifest=source.embedder,
        settings=EmbedSettings(),
        min_images=source.min_images,
        progress=progress,
    )
    note = (
        f"{made.subjects:,} subjects, {made.pictures:,} pictures, {sum(made.rows.values()):,} rows"
    )
    if made.skipped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in made.skipped.items())
        note += f"; pictures skipped: {reasons} (listed in {folder.store.with_name(SKIPPED)})"
    if made.left_out:
        names = ", ".join(made.left_out[:FEW_NAMES])
        more = "" if len(made.left_out) <= FEW_NAMES else ", ..."
        note += f"; {len(made.left_out):,} left out, without a face: {names}{more}"
    return note


def _read_gallery(folder: RunFolder, source: Gallery) -> str:
    from models.zoo import read_manifest
    from training.embedding.gallery import gallery_to_store

    manifest = read_manifest(source.embedder)
    revision = gallery_to_store(
        source.database_url,
        source.master_key,
        source.collection,
        folder.store,
        EmbedderIdentity(manifest.name, manifest.sha256),
    )
    store = Manifest.read(folder.store)
    return f"{store.subjects:,} subjects, {store.rows:,} rows, as of revision {revision}"
