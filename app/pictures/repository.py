"""SQL of the kept pictures; what lies in the table is sealed."""

from uuid import UUID

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.tables import CollectionRow, PictureRow, SampleRow, SubjectRow


async def are_kept(session: AsyncSession, collection_id: UUID) -> bool:
    """Tell whether a collection keeps the pictures of the samples that it is given."""
    kept = await session.scalar(
        select(CollectionRow.keep_pictures).where(CollectionRow.id == collection_id)
    )
    return bool(kept)


async def insert_picture(session: AsyncSession, *, sample_id: UUID, sealed: bytes) -> None:
    """Keep the picture of a sample."""
    await session.execute(insert(PictureRow).values(sample_id=sample_id, content=sealed))


async def find_picture(session: AsyncSession, *, subject_id: UUID, sample_id: UUID) -> bytes | None:
    """Find the picture of a subject's sample; None if none is kept."""
    return await session.scalar(
        select(PictureRow.content)
        .join(SampleRow, SampleRow.id == PictureRow.sample_id)
        .where(PictureRow.sample_id == sample_id, SampleRow.subject_id == subject_id)
    )


async def delete_of_collection(session: AsyncSession, collection_id: UUID) -> int:
    """Delete all kept pictures of a collection; tell how many."""
    samples = (
        select(SampleRow.id)
        .join(SubjectRow, SubjectRow.id == SampleRow.subject_id)
        .where(SubjectRow.collection_id == collection_id)
    )
    deleted = await session.execute(
        delete(PictureRow).where(PictureRow.sample_id.in_(samples)).returning(PictureRow.sample_id)
    )
    return len(deleted.all())


async def delete_outlived(session: AsyncSession, *, limit: int) -> int:
    """Delete some pictures that are older than their collections keep them; tell how many."""
    outlived = (
        select(PictureRow.sample_id)
        .join(SampleRow, SampleRow.id == PictureRow.sample_id)
        .join(SubjectRow, SubjectRow.id == SampleRow.subject_id)
        .join(CollectionRow, CollectionRow.id == SubjectRow.collection_id)
        .where(
            PictureRow.created_at
            < func.now() - func.make_interval(0, 0, 0, CollectionRow.picture_days)
        )
        .limit(limit)
        # Whoever deletes subjects has them in another order; what is left out goes with those.
        .with_for_update(skip_locked=True, of=PictureRow)
    )
    deleted = await session.execute(
        delete(PictureRow).where(PictureRow.sample_id.in_(outlived)).returning(PictureRow.sample_id)
    )
    return len(deleted.all())
