"""SQL of the change of a collection's embedder."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.tables import (
    CollectionRow,
    FeedbackRow,
    JobRow,
    NextTemplateRow,
    PictureRow,
    SampleRow,
    SubjectRow,
    VariantRow,
)
from models.zoo import EmbedderId


class Counts(NamedTuple):
    """Samples of a collection, on the way to another embedder."""

    total: int
    done: int
    """That have a template by it."""
    without_picture: int
    """That have neither such a template nor a kept picture."""


class Pending(NamedTuple):
    """A sample that has no template by the other embedder yet."""

    sample_id: UUID
    subject_id: UUID
    template: bytes
    """By the present embedder; sealed, as the picture is."""
    picture: bytes
    variants: int
    """How many it has."""


async def find_by_name(session: AsyncSession, name: str) -> CollectionRow | None:
    """Find a collection."""
    return await session.scalar(select(CollectionRow).where(CollectionRow.name == name))


async def count(session: AsyncSession, collection_id: UUID, embedder: EmbedderId) -> Counts:
    """Count a collection's samples."""
    is_done, has_picture = _is_done(embedder), _has_picture()
    row = await session.execute(
        select(
            func.count(),
            func.count().filter(is_done),
            func.count().filter(~is_done & ~has_picture),
        )
        .select_from(SampleRow)
        .where(_is_in(collection_id))
    )
    return Counts(*row.one())


async def list_pending(
    session: AsyncSession,
    collection_id: UUID,
    embedder: EmbedderId,
    *,
    limit: int,
    leave_out: Collection[UUID],
) -> list[Pending]:
    """List some samples with pictures that have no template by an embedder yet, oldest first."""
    variants = select(func.count()).where(VariantRow.sample_id == SampleRow.id).scalar_subquery()
    found = await session.execute(
        select(SampleRow.id, SampleRow.subject_id, SampleRow.template, PictureRow.content, variants)
        .join(PictureRow, PictureRow.sample_id == SampleRow.id)
        .where(_is_in(collection_id), ~_is_done(embedder), SampleRow.id.not_in(leave_out))
        .order_by(SampleRow.created_at, SampleRow.id)
        .limit(limit)
    )
    return [Pending(*row) for row in found]


async def keep_present(session: AsyncSession, sample_ids: Collection[UUID]) -> set[UUID]:
    """Tell which samples are there, and keep those from being deleted until the end."""
    return set(
        await session.scalars(
            select(SampleRow.id)
            .where(SampleRow.id.in_(sample_ids))
            .order_by(SampleRow.id)
            .with_for_update(read=True, key_share=True)
        )
    )


async def insert_next(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    """Store templates by the other embedder."""
    if rows:
        await session.execute(insert(NextTemplateRow), rows)


async def take_over(session: AsyncSession, collection_id: UUID, embedder: EmbedderId) -> int:
    """Put the next templates in the place of the samples' own; needs the collection's lock.

    Variants are deleted: `move_variants` brings the next ones afterwards, when nobody waits for the
    lock. The feedback, whose probes have no pictures, is deleted; tell how many verdicts that were.
    """
    samples = select(SampleRow.id).where(_is_in(collection_id))
    await session.execute(
        update(SampleRow)
        .where(
            SampleRow.id.in_(samples),
            NextTemplateRow.sample_id == SampleRow.id,
            NextTemplateRow.kind.is_(None),
            NextTemplateRow.embedder_sha256 == embedder.sha256,
        )
        .values(template=NextTemplateRow.template)
        .execution_options(synchronize_session=False)
    )
    await session.execute(delete(VariantRow).where(VariantRow.sample_id.in_(samples)))
    await session.execute(
        update(CollectionRow)
        .where(CollectionRow.id == collection_id)
        .values(embedder_name=embedder.name, embedder_sha256=embedder.sha256)
    )
    deleted = await session.execute(
        delete(FeedbackRow)
        .where(FeedbackRow.collection_id == collection_id)
        .returning(FeedbackRow.id)
    )
    return len(deleted.all())


async def move_variants(session: AsyncSession, collection_id: UUID, *, limit: int) -> int:
    """Take some next templates of a collection's present embedder away; tell how many.

    Those of variants become variants; those of samples are there already.
    """
    some = (
        select(NextTemplateRow.id)
        .join(SampleRow, SampleRow.id == NextTemplateRow.sample_id)
        .join(SubjectRow, SubjectRow.id == SampleRow.subject_id)
        .join(CollectionRow, CollectionRow.id == SubjectRow.collection_id)
        .where(
            CollectionRow.id == collection_id,
            NextTemplateRow.embedder_sha256 == CollectionRow.embedder_sha256,
        )
        .order_by(NextTemplateRow.id)
        .limit(limit)
    )
    taken = await session.execute(
        delete(NextTemplateRow)
        .where(NextTemplateRow.id.in_(some))
        .returning(NextTemplateRow.sample_id, NextTemplateRow.kind, NextTemplateRow.template)
    )
    rows = taken.all()
    variants = [row._asdict() for row in rows if row.kind is not None]
    if variants:
        await session.execute(insert(VariantRow), variants)
    return len(rows)


async def forget_next(session: AsyncSession, collection_id: UUID) -> None:
    """Delete what was made for embedders that a collection does not have."""
    samples = select(SampleRow.id).where(_is_in(collection_id))
    present = select(CollectionRow.embedder_sha256).where(CollectionRow.id == collection_id)
    await session.execute(
        delete(NextTemplateRow).where(
            NextTemplateRow.sample_id.in_(samples),
            NextTemplateRow.embedder_sha256 != present.scalar_subquery(),
        )
    )


async def cancel_retrainings(session: AsyncSession, collection_id: UUID) -> None:
    """Ask for the end of what trains with the templates of before."""
    await session.execute(
        update(JobRow)
        .where(
            JobRow.collection_id == collection_id,
            JobRow.kind == "retraining",
            JobRow.finished_at.is_(None),
        )
        .values(cancel_requested=True)
    )


def _is_in(collection_id: UUID) -> ColumnElement[bool]:
    subjects = select(SubjectRow.id).where(SubjectRow.collection_id == collection_id)
    return SampleRow.subject_id.in_(subjects)


def _is_done(embedder: EmbedderId) -> ColumnElement[bool]:
    return exists().where(
        NextTemplateRow.sample_id == SampleRow.id,
        NextTemplateRow.kind.is_(None),
        NextTemplateRow.embedder_sha256 == embedder.sha256,
    )


def _has_picture() -> ColumnElement[bool]:
    return exists().where(PictureRow.sample_id == SampleRow.id)
