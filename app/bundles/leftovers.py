"""Bundles that no row tells of any more, in a folder or in the store: found, and removed.

A bundle's row comes after its files and goes before they do, here or by another replica. So files
without a row are of a training that is about to publish, or they are left over. A bundle that is on
a receipt had a row, so without one it was deleted: it goes at once.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from app.bundles import grace, repository
from app.bundles.files import bundle_id_of
from app.database import Database
from app.erasures.repository import on_receipts
from app.logs import get_logger

log = get_logger()


class Place(Protocol):
    """Where bundles are. Its methods block, and raise OSError if it can't be used."""

    def names(self) -> set[str]:
        """List what is there: bundles by their ids, and what has a name that begins with one."""

    def delete(self, name: str) -> None:
        """Remove one of these wholly; nothing happens if it is not there."""


@dataclass(frozen=True)
class _Sighting:
    """When files without a row were first seen, and the trainings that they may be of."""

    at: float
    trainings: frozenset[UUID]


@dataclass
class Leftovers:
    """What was seen without a row so far, in one place."""

    database: Database
    place: Place
    is_needed: Callable[[str], bool]
    """Tells whether a name is of a bundle that is published here, or is searched with here."""
    _seen: dict[str, _Sighting] = field(default_factory=dict)

    async def clear(self) -> None:
        """Remove what is left over for certain; the rest is looked at again the next time.

        Raises:
            OSError: something can't be removed, which keeps nothing else; or the place can't be
                used.
        """
        failed: OSError | None = None
        for name in await self._left_over():
            try:
                await asyncio.to_thread(self.place.delete, name)
                log.info("bundle_removed", bundle=name, place=type(self.place).__name__)
            except OSError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    async def _left_over(self) -> list[str]:
        # Listed before the rows are: what comes up in between has one.
        names = await asyncio.to_thread(self.place.names)
        async with self.database.snapshot() as session:
            known = await repository.all_ids(session)
            trainings = frozenset(await repository.unfinished_trainings(session))
            unknown = {name for name in names - known if not self.is_needed(name)}
            deleted = await on_receipts(session, {bundle_id_of(name) for name in unknown} - known)
        now = time.monotonic()
        for name in self._seen.keys() - unknown:
            del self._seen[name]
        for name in unknown:
            self._seen.setdefault(name, _Sighting(now, trainings))

        def is_left_over(name: str, sighting: _Sighting) -> bool:
            # Requests under way may still be on a bundle that was active a moment ago; and a
            # training that ran when the files were first seen may be about to publish them.
            return bundle_id_of(name) in deleted or (
                now - sighting.at >= grace.GRACE_S and not sighting.trainings & trainings
            )

        return [name for name, sighting in self._seen.items() if is_left_over(name, sighting)]
