"""Receipts of erasures wait for deleted bundles, until somebody finds that nothing is left."""

import asyncio

from app.bundles.files import BundleFiles
from app.database import Database
from app.erasures.repository import deleted_bundles, note_cleared


async def complete_receipts(database: Database, files: BundleFiles) -> None:
    """Note on receipts which deleted bundles are gone, whoever has removed them.

    Raises:
        OSError: the store can't be used; the receipts stay open.
    """
    async with database.snapshot() as session:
        deleted = await deleted_bundles(session)
    if gone := deleted - await asyncio.to_thread(files.that_are_left, deleted):
        async with database.transaction() as session:
            await note_cleared(session, gone, cached=files.store is not None)
