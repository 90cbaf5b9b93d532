"""Which bundles nobody should go back to, or nobody can."""

from collections.abc import Sequence
from uuid import UUID

from app.bundles import repository
from app.database import Database


async def list_outdated(database: Database, collection_id: UUID, kept: int) -> Sequence[str]:
    """List the bundles of a collection that are to be deleted.

    Those are the ones of an embedder that it had before. If it has an active one, they are also the
    ones with traces of a deleted subject which the active bundle does not have, and the oldest
    beyond the number that is kept.

    Args:
        database: that knows them.
        collection_id: whose bundles.
        kept: bundles that are kept beside the active one.
    """
    async with database.snapshot() as session:
        active = await repository.active_id(session, collection_id)
        bundle_ids = await repository.ids_of(session, collection_id)
        traces = await repository.traces(session, collection_id)
        unusable = await repository.of_former_embedders(session, collection_id)
    if active is None:
        return unusable
    borne = traces.get(active, set())
    former = [bundle_id for bundle_id in bundle_ids if bundle_id != active]
    return [
        bundle_id
        for place, bundle_id in enumerate(former)
        if bundle_id in unusable or place >= kept or traces.get(bundle_id, set()) - borne
    ]
