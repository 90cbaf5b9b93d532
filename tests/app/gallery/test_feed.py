"""The feed's order is the order of commits, however long each transaction takes."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import numpy as np
import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import OperationalError

from app.database import Database
from app.gallery.repository import current_revision, record_change
from app.gallery.service import Galleries
from app.tables import ChangeRow, CollectionRow, SubjectRow
from models.zoo import EmbedderManifest
from tests.app.gallery.stored import assert_same, galleries_on, templates, write_subject

WRITERS, WRITES_EACH = 5, 6


async def write_slowly(database: Database, collection_id: UUID, waits_s: Sequence[float]) -> None:
    """Make a subject, and wait between the writes, and before the commit."""
    subject_id = uuid4()
    async with database.transaction() as session:
        await session.execute(
            insert(SubjectRow).values(
                id=subject_id, collection_id=collection_id, name="n", metadata_={}
            )
        )
        await asyncio.sleep(waits_s[0])
        await record_change(
            session, collection_id=collection_id, subject_id=subject_id, kind="subject_enrolled"
        )
        await asyncio.sleep(waits_s[1])


async def revisions_after(database: Database, collection_id: UUID, revision: int) -> list[int]:
    """Read as a replica does: whatever the feed has beyond what was seen."""
    async with database.snapshot() as session:
        reached = await current_revision(session, collection_id)
        found = await session.scalars(
            select(ChangeRow.revision)
            .where(ChangeRow.collection_id == collection_id, ChangeRow.revision > revision)
            .order_by(ChangeRow.revision)
        )
        revisions = list(found)
    assert reached == (revisions[-1] if revisions else revision)
    return revisions


@pytest.mark.slow
async def test_a_reader_never_skips_a_change_that_is_committed_late(
    wide_database: Database, collection: CollectionRow
) -> None:
    chance = np.random.default_rng(7)

    async def write(number: int) -> None:
        for _ in range(WRITES_EACH):
            # One of them holds its transaction open for long, now before it takes its revision,
            # now after, so that others begin later and would be done before.
            longest = 0.15 if number == 0 else 0.03
            waits = list(chance.random(2) * longest)
            await write_slowly(wide_database, collection.id, waits)

    seen: list[int] = []
    writers = asyncio.gather(*(write(number) for number in range(WRITERS)))
    looks = 0
    while not writers.done() or len(seen) < WRITERS * WRITES_EACH:
        seen += await revisions_after(wide_database, collection.id, seen[-1] if seen else 0)
        looks += 1
        await asyncio.sleep(0.002)
        assert looks < 100_000, "the last ones never came"
    await writers
    assert seen == list(range(1, WRITERS * WRITES_EACH + 1))
    assert looks > len(seen)  # else nothing was to be skipped


@pytest.mark.slow
async def test_a_replica_that_starts_amid_writes_loads_what_is_there_and_follows_the_feed(
    wide_database: Database, collection: CollectionRow, embedder: EmbedderManifest
) -> None:
    async def write() -> None:
        for _ in range(40):
            await write_subject(wide_database, collection, templates(1))
            await asyncio.sleep(0.005)

    early = galleries_on(wide_database, embedder)
    await early.refresh()
    writing = asyncio.gather(write(), write())
    late: list[Galleries] = []
    while not writing.done():
        late.append(galleries_on(wide_database, embedder))
        await late[-1].refresh()
        await early.refresh()
    await writing
    assert len(late) > 1
    afresh = galleries_on(wide_database, embedder)
    await afresh.refresh()
    assert len(afresh.find("c").gallery) == 80
    for each in (early, *late):
        await each.refresh()
        assert_same(each.find("c"), afresh.find("c"))


@pytest.mark.slow
async def test_a_writer_that_stands_still_holds_the_others_up_for_some_seconds_only(
    wide_database: Database, collection: CollectionRow
) -> None:
    standing = asyncio.create_task(write_slowly(wide_database, collection.id, [0, 20]))
    await asyncio.sleep(0.5)
    async with asyncio.timeout(15):
        await write_slowly(wide_database, collection.id, [0, 0])
    with pytest.raises(OperationalError, match="idle"):
        await standing
    # Nothing of the one that was thrown out is there.
    assert await revisions_after(wide_database, collection.id, 0) == [1]
