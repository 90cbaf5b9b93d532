"""Two collections exchange their names: how one that was made beside takes the other's place."""

from uuid import uuid4

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.audit.facts import note
from app.collections.schemas import CollectionList
from app.collections.service import get_collection
from app.database import Database
from app.gallery.lookup import find_collection_id
from app.gallery.repository import record_change
from app.gallery.service import Galleries
from app.problems import CollectionNotFound, FieldsNotAllowed
from app.tables import CollectionRow


async def switch(
    *, name: str, other: str, database: Database, galleries: Galleries
) -> CollectionList:
    """Exchange the names of two collections, in one transaction.

    On return requests that are asked here find each under the other's name; other replicas follow
    as with every change.

    Raises:
        CollectionNotFound: there is none of one of the names.
        FieldsNotAllowed: the two are one.
    """
    if name == other:
        raise FieldsNotAllowed("`with` must name another collection.")
    for each in (name, other):  # whether the caller may know of them
        await find_collection_id(galleries, each)
    async with database.transaction() as session:
        rows = await _lock_both(session, name, other)
        names = {row.id: other if row.name == name else name for row in rows}
        # Clients name revisions that they have seen under a name: they must not go back.
        revision = max(row.revision for row in rows)
        for row in rows:  # first out of each other's way: names are unique at each moment
            await _set(session, row, name=f" {uuid4()}")
        for row in rows:
            await _set(session, row, name=names[row.id], revision=revision)
            await record_change(session, collection_id=row.id, subject_id=row.id, kind="renamed")
            note(collection_id=row.id)
    for row in rows:
        await galleries.catch_up(row.id, revision=revision + 1)
    return CollectionList(
        collections=[
            await get_collection(name=each, database=database, galleries=galleries)
            for each in sorted((name, other))
        ]
    )


async def _lock_both(session: AsyncSession, name: str, other: str) -> list[CollectionRow]:
    found = await session.scalars(
        select(CollectionRow)
        .where(CollectionRow.name.in_((name, other)))
        .order_by(CollectionRow.id)
        .with_for_update()
    )
    rows = list(found)
    if len(rows) < 2:
        raise CollectionNotFound("One of the collections was deleted meanwhile.")
    return rows


async def _set(session: AsyncSession, row: CollectionRow, **values: str | int) -> None:
    await session.execute(
        update(CollectionRow)
        .where(CollectionRow.id == row.id)
        .values(**values)
        .execution_options(synchronize_session=False)
    )
