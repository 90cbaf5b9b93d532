"""SQL of the bundles."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.announcements import announce
from app.tables import BundleRow, ChangeRow, CollectionRow, ErasureBundleRow, JobRow

FOLLOWED_MINUTES = 10
"""After so long each replica that runs has taken a changed embedder up."""


class StoredBundle(NamedTuple):
    """A bundle, the name of its collection, and how many deleted subjects it has traces of."""

    row: BundleRow
    collection: str
    traces: int


async def list_bundles(
    session: AsyncSession, *, collection: str | None = None, bundle_id: str | None = None
) -> list[StoredBundle]:
    """List bundles, the newest first: all, those of a collection, or the one of an id."""
    traces = (
        select(func.count())
        .select_from(ErasureBundleRow)
        .where(ErasureBundleRow.bundle_id == BundleRow.id, ErasureBundleRow.cleared_at.is_(None))
        .scalar_subquery()
    )
    statement = (
        select(BundleRow, CollectionRow.name, traces)
        .join(CollectionRow, CollectionRow.id == BundleRow.collection_id)
        .order_by(BundleRow.created_at.desc(), BundleRow.id)
    )
    if collection is not None:
        statement = statement.where(CollectionRow.name == collection)
    if bundle_id is not None:
        statement = statement.where(BundleRow.id == bundle_id)
    return [StoredBundle(*row) for row in await session.execute(statement)]


async def ids_of(session: AsyncSession, collection_id: UUID) -> Sequence[str]:
    """List a collection's bundles, the one that was used last first."""
    found = await session.scalars(
        select(BundleRow.id)
        .where(BundleRow.collection_id == collection_id)
        .order_by(BundleRow.activated_at.desc().nulls_last(), BundleRow.created_at.desc())
    )
    return found.all()


async def all_ids(session: AsyncSession) -> set[str]:
    """List all bundles."""
    return set(await session.scalars(select(BundleRow.id)))


async def unfinished_trainings(session: AsyncSession) -> Sequence[UUID]:
    """List the jobs that may be about to publish a bundle."""
    found = await session.scalars(
        select(JobRow.id).where(JobRow.kind == "retraining", JobRow.finished_at.is_(None))
    )
    return found.all()


async def active_id(session: AsyncSession, collection_id: UUID) -> str | None:
    """Tell which bundle a collection is searched with."""
    return await session.scalar(
        select(BundleRow.id).where(BundleRow.collection_id == collection_id, BundleRow.active)
    )


async def collections_with_former(session: AsyncSession) -> Sequence[UUID]:
    """List the collections that have bundles which are not active."""
    found = await session.scalars(
        select(BundleRow.collection_id).where(BundleRow.active.is_(False)).distinct()
    )
    return found.all()


async def of_former_embedders(session: AsyncSession, collection_id: UUID) -> Sequence[str]:
    """List the bundles from before a collection's embedder was changed, which nobody needs now.

    Right after the change others may still search with them: reading a large gallery takes a while.
    """
    changed_at = (
        select(func.max(ChangeRow.revision))
        .where(
            ChangeRow.collection_id == collection_id,
            ChangeRow.kind == "embedder_changed",
            ChangeRow.created_at < func.now() - func.make_interval(0, 0, 0, 0, 0, FOLLOWED_MINUTES),
        )
        .scalar_subquery()
    )
    found = await session.scalars(
        select(BundleRow.id).where(
            BundleRow.collection_id == collection_id, BundleRow.watermark < changed_at
        )
    )
    return found.all()


async def deactivate(session: AsyncSession, collection_id: UUID) -> None:
    """Have a collection searched without a bundle; needs the collection's lock."""
    await session.execute(
        update(BundleRow)
        .where(BundleRow.collection_id == collection_id, BundleRow.active)
        .values(active=False)
    )


async def traces(session: AsyncSession, collection_id: UUID) -> dict[str, set[UUID]]:
    """List the erasures that a collection's bundles have not yet followed, by bundle."""
    found = await session.execute(
        select(ErasureBundleRow.bundle_id, ErasureBundleRow.erasure_id)
        .join(BundleRow, BundleRow.id == ErasureBundleRow.bundle_id)
        .where(BundleRow.collection_id == collection_id, ErasureBundleRow.cleared_at.is_(None))
    )
    by_bundle: dict[str, set[UUID]] = {}
    for bundle_id, erasure_id in found:
        by_bundle.setdefault(bundle_id, set()).add(erasure_id)
    return by_bundle


async def seconds_since_swap(session: AsyncSession, collection_id: UUID) -> float | None:
    """Tell how long the active bundle has been so; None if there is none."""
    return await session.scalar(
        select(func.extract("epoch", func.clock_timestamp() - BundleRow.activated_at)).where(
            BundleRow.collection_id == collection_id, BundleRow.active
        )
    )


async def lock_for_change(session: AsyncSession, collection_id: UUID) -> bool:
    """Let nobody else change the collection in any way until the end; False if it is gone."""
    found = await session.scalar(
        select(CollectionRow.id).where(CollectionRow.id == collection_id).with_for_update()
    )
    return found is not None


async def lock_bundle(session: AsyncSession, bundle_id: str) -> BundleRow | None:
    """Take a bundle; its collection's lock is held, as by everybody who takes both."""
    return await session.scalar(
        select(BundleRow).where(BundleRow.id == bundle_id).with_for_update()
    )


async def insert_if_new(session: AsyncSession, fields: dict[str, Any]) -> None:
    """Write a bundle down, not active. One that is there stays as it is: its id says all."""
    await session.execute(
        insert(BundleRow)
        .values(active=False, **fields)
        .on_conflict_do_nothing(index_elements=[BundleRow.id])
    )


async def set_active(session: AsyncSession, collection_id: UUID, bundle_id: str) -> None:
    """Have a collection searched with one of its bundles; needs the collection's lock."""
    await deactivate(session, collection_id)
    await session.execute(
        update(BundleRow)
        .where(BundleRow.id == bundle_id)
        .values(active=True, activated_at=func.clock_timestamp())
    )
    announce(session, collection_id)


async def delete_bundle(session: AsyncSession, bundle_id: str) -> None:
    """Forget a bundle."""
    await session.execute(delete(BundleRow).where(BundleRow.id == bundle_id))
