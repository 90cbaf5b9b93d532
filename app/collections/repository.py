"""SQL of the collections."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.tables import CollectionRow, SampleRow, SubjectRow
from models.zoo import EmbedderManifest


class CountedCollection(NamedTuple):
    """A collection and how much is in it."""

    row: CollectionRow
    subject_count: int
    sample_count: int


async def insert_if_new(
    session: AsyncSession, *, name: str, embedder: EmbedderManifest
) -> CollectionRow | None:
    """Make a collection of the embedder; None if the name is taken."""
    return await session.scalar(
        insert(CollectionRow)
        .values(name=name, embedder_name=embedder.name, embedder_sha256=embedder.sha256)
        .on_conflict_do_nothing(index_elements=[CollectionRow.name])
        .returning(CollectionRow)
    )


async def list_counted(
    session: AsyncSession, *, name: str | None = None
) -> Sequence[CountedCollection]:
    """List all collections by name, or the one of a name."""
    subjects = (
        select(func.count())
        .select_from(SubjectRow)
        .where(SubjectRow.collection_id == CollectionRow.id)
        .scalar_subquery()
    )
    samples = (
        select(func.count())
        .select_from(SampleRow)
        .join(SubjectRow, SubjectRow.id == SampleRow.subject_id)
        .where(SubjectRow.collection_id == CollectionRow.id)
        .scalar_subquery()
    )
    statement = select(CollectionRow, subjects, samples).order_by(CollectionRow.name)
    if name is not None:
        statement = statement.where(CollectionRow.name == name)
    return [CountedCollection(*row) for row in await session.execute(statement)]


async def delete_by_name(session: AsyncSession, name: str) -> UUID | None:
    """Delete a collection with all that is in it; None if there is none of this name."""
    return await session.scalar(
        delete(CollectionRow).where(CollectionRow.name == name).returning(CollectionRow.id)
    )
