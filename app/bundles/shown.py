"""Bundles as they are shown: rows, manifests and reports."""

import asyncio
from typing import Any

from app.audit.facts import note
from app.bundles import repository
from app.bundles.files import BundleFiles
from app.bundles.repository import StoredBundle
from app.bundles.schemas import BundleList, BundleOut, BundleWithManifest
from app.database import Database
from app.gallery.lookup import find_collection_id
from app.gallery.service import Galleries
from app.keys.caller import may_see
from app.problems import BundleDamaged, BundleNotFound
from models.bundle_format import MANIFEST, BundleInvalid, read_object


async def find_bundle(bundle_id: str, database: Database) -> StoredBundle:
    """Find a bundle.

    Raises:
        BundleNotFound: there is none of this id.
    """
    async with database.snapshot() as session:
        found = await repository.list_bundles(session, bundle_id=bundle_id)
    if not found:
        raise BundleNotFound("No bundle has this id.")
    note(collection_id=found[0].row.collection_id)
    return found[0]


async def list_bundles(
    *, collection: str | None, database: Database, galleries: Galleries
) -> BundleList:
    """List the bundles of a collection, or all that the caller may know of, the newest first.

    Raises:
        CollectionNotFound: there is no such collection.
    """
    if collection is not None:
        await find_collection_id(galleries, collection)
    async with database.snapshot() as session:
        found = await repository.list_bundles(session, collection=collection)
    return BundleList(
        bundles=[BundleOut(**_fields_of(each)) for each in found if may_see(each.collection)]
    )


async def get_bundle(
    *, bundle_id: str, database: Database, files: BundleFiles
) -> BundleWithManifest:
    """Show a bundle and what its manifest says.

    Raises:
        BundleNotFound: there is none of this id.
    """
    stored = await find_bundle(bundle_id, database)

    def read() -> dict[str, Any] | None:
        try:
            files.ensure(bundle_id)
            return read_object(files.bundle(bundle_id) / MANIFEST)
        except (BundleInvalid, OSError):
            return None

    manifest = await asyncio.to_thread(read)
    return BundleWithManifest(**_fields_of(stored), manifest=manifest)


async def read_report(*, bundle_id: str, database: Database, files: BundleFiles) -> str:
    """Read the report page of a bundle.

    Raises:
        BundleNotFound, BundleDamaged: there is no such bundle, or no report with it.
    """
    await find_bundle(bundle_id, database)

    def read() -> str:
        files.ensure(bundle_id)
        return files.report(bundle_id).read_text("utf-8")

    try:
        return await asyncio.to_thread(read)
    except (BundleInvalid, OSError, UnicodeDecodeError) as error:
        raise BundleDamaged("The report of this bundle can't be read.") from error


def _fields_of(stored: StoredBundle) -> dict[str, Any]:
    row = stored.row
    return {
        "bundle_id": row.id,
        "collection": stored.collection,
        "active": row.active,
        "watermark": row.watermark,
        "classes": row.classes,
        "subnets": row.subnets,
        "erased_subjects": stored.traces,
        "metrics": row.metrics,
        "job_id": row.job_id,
        "created_at": row.created_at,
        "activated_at": row.activated_at,
    }
