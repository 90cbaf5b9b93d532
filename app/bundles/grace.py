"""How long a bundle that was active before is still needed."""

import time
from collections.abc import Callable
from uuid import UUID

from app.bundles import repository
from app.database import Database
from app.problems import BundleActive

GRACE_S = 3.0
"""For which the bundle that was active before keeps its files, from the commit and from the swap in
memory on: requests under way finish on it, and other processes see the swap within a second."""


class Grace:
    """Since when the collections are searched with what they are searched with."""

    def __init__(self, database: Database, in_use: Callable[[UUID], str | None]) -> None:
        """Know of nothing yet.

        Args:
            database: that says which bundles are active.
            in_use: tells which bundle a collection is searched with here.
        """
        self._database = database
        self._in_use = in_use
        self._seen: dict[UUID, tuple[str | None, float]] = {}
        """By collection: what was last seen in use, and the time from which on."""

    async def left(self, collection_id: UUID, bundle_id: str) -> float:
        """Tell for how many seconds more requests may need a bundle; 0 or less: for none.

        Raises:
            BundleActive: it is active, or still in use here.
        """
        async with self._database.snapshot() as session:
            active = await repository.active_id(session, collection_id)
            passed = await repository.seconds_since_swap(session, collection_id)
        self.note(collection_id)
        in_use, since = self._seen[collection_id]
        if bundle_id in (active, in_use):
            raise still_active()
        if passed is None:
            return 0.0
        return GRACE_S - min(float(passed), time.monotonic() - since)

    def note(self, collection_id: UUID) -> None:
        """Look at what is in use here, right after it may have become another.

        A swap that another process has caused counts from the first look after it.
        """
        in_use = self._in_use(collection_id)
        seen = self._seen.get(collection_id)
        if seen is None or seen[0] != in_use:
            self._seen[collection_id] = in_use, time.monotonic()


def still_active() -> BundleActive:
    """Make the refusal to delete a bundle that is in use."""
    return BundleActive("The collection is searched with this bundle; activate another first.")
