"""What a transaction changes that other replicas should hear of, said once it is committed."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

_KEY = "announcements"


class Announcement(NamedTuple):
    """There is something new of a collection; what it is, the database says."""

    collection_id: UUID
    revision: int | None
    """Of the feed, if it is there; None: the collection itself or its bundle is another one."""


def announce(session: AsyncSession, collection_id: UUID, revision: int | None = None) -> None:
    """Have a change announced when the transaction is committed, and only then."""
    session.info.setdefault(_KEY, []).append(Announcement(collection_id, revision))


def announcements_of(session: AsyncSession) -> list[Announcement]:
    """List what a transaction has to announce."""
    announcements: list[Announcement] = session.info.get(_KEY, [])
    return announcements
