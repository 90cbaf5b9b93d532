"""SQL of what only the database knows and the metrics tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import extract, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.tables import BundleRow, ChangeRow, CollectionRow, JobRow


@dataclass(frozen=True)
class Stored:
    """What is stored, at one moment."""

    revisions: Mapping[UUID, int]
    """Of each collection."""
    jobs: Mapping[tuple[str, str], int]
    """How many there are, by kind and state."""
    bundle_ages_s: Mapping[str, float]
    """Seconds since each active bundle was published."""


async def look(session: AsyncSession) -> Stored:
    """Ask for all of it."""
    revisions = await session.execute(select(CollectionRow.id, CollectionRow.revision))
    jobs = await session.execute(
        select(JobRow.kind, JobRow.state, func.count()).group_by(JobRow.kind, JobRow.state)
    )
    ages = await session.execute(
        select(BundleRow.id, extract("epoch", func.now() - BundleRow.created_at)).where(
            BundleRow.active
        )
    )
    return Stored(
        revisions={each.id: each.revision for each in revisions},
        jobs={(kind, state): count for kind, state, count in jobs},
        bundle_ages_s={bundle_id: float(age) for bundle_id, age in ages},
    )


async def seconds_behind(session: AsyncSession, collection_id: UUID, revision: int) -> float:
    """Tell how long ago the first change after a revision was made; 0 if there is none."""
    oldest = await session.scalar(
        select(extract("epoch", func.clock_timestamp() - func.min(ChangeRow.created_at))).where(
            ChangeRow.collection_id == collection_id, ChangeRow.revision > revision
        )
    )
    return max(float(oldest or 0), 0.0)
