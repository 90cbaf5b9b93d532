"""SQL of the collections."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ScalarSelect, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.announcements import announce
from app.tables import CollectionRow, FormerNameRow, PictureRow, SampleRow, SubjectRow
from models.zoo import EmbedderManifest


class CountedCollection(NamedTuple):
    """A collection and how much is in it."""

    row: CollectionRow
    subject_count: int
    sample_count: int
    picture_count: int


async def insert_if_new(
    session: AsyncSession, *, name: str, embedder: EmbedderManifest, **kept: bool | int | None
) -> CollectionRow | None:
    """Make a collection of the embedder; None if the name is taken.

    `kept` are its columns that say what is kept, and for how long.
    """
    row = await session.scalar(
        insert(CollectionRow)
        .values(
            name=name,
            revision=_first_revision(name),
            embedder_name=embedder.name,
            embedder_sha256=embedder.sha256,
            **kept,
        )
        .on_conflict_do_nothing(index_elements=[CollectionRow.name])
        .returning(CollectionRow)
    )
    if row is not None:
        announce(session, row.id)
    return row


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
    pictures = (
        select(func.count())
        .select_from(PictureRow)
        .join(SampleRow, SampleRow.id == PictureRow.sample_id)
        .join(SubjectRow, SubjectRow.id == SampleRow.subject_id)
        .where(SubjectRow.collection_id == CollectionRow.id)
        .scalar_subquery()
    )
    statement = select(CollectionRow, subjects, samples, pictures).order_by(CollectionRow.name)
    if name is not None:
        statement = statement.where(CollectionRow.name == name)
    return [CountedCollection(*row) for row in await session.execute(statement)]


async def lock_by_name(session: AsyncSession, name: str) -> CollectionRow | None:
    """Let nobody else change a collection in any way until the end; None if there is none."""
    if "\0" in name:  # a text that Postgres does not take, not even to compare it
        return None
    return await session.scalar(
        select(CollectionRow).where(CollectionRow.name == name).with_for_update()
    )


async def delete_as(
    session: AsyncSession, collection_id: UUID, *, name: str
) -> CollectionRow | None:
    """Delete a collection with all that is in it; None if it is gone, or has another name now."""
    row = await session.scalar(
        delete(CollectionRow)
        .where(CollectionRow.id == collection_id, CollectionRow.name == name)
        .returning(CollectionRow)
    )
    if row is not None:
        former = insert(FormerNameRow).values(name_sha256=_digest(name), revision=row.revision)
        await session.execute(
            former.on_conflict_do_update(
                index_elements=[FormerNameRow.name_sha256],
                set_={"revision": former.excluded.revision},
            )
        )
        announce(session, row.id)
    return row


def _first_revision(name: str) -> ScalarSelect[int]:
    """0, or after the last one of the collection that had the name before."""
    return (
        select(func.coalesce(func.max(FormerNameRow.revision) + 1, 0))
        .where(FormerNameRow.name_sha256 == _digest(name))
        .scalar_subquery()
    )


def _digest(name: str) -> bytes:
    # Of what was deleted, not even the name is kept.
    return hashlib.sha256(name.encode()).digest()
