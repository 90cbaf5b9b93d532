import asyncio
from uuid import uuid4

from app.audit.facts import collecting, note


async def test_what_is_noted_comes_together_from_wherever_it_is_known() -> None:
    collection_id, first, second = uuid4(), uuid4(), uuid4()

    async def elsewhere() -> None:
        note(subject_ids=[first, second])

    with collecting() as facts:
        note(collection_id=collection_id, subject_ids=[first])
        await asyncio.create_task(elsewhere())
        note(outcome="match")

    assert (facts.collection_id, facts.outcome) == (collection_id, "match")
    assert facts.subject_ids == [first, second]


def test_outside_nobody_listens() -> None:
    note(outcome="match")
    with collecting() as facts:
        pass
    assert facts.outcome is None
