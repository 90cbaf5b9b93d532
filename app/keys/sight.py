"""What a key of some collections can't see: whatever an address names of another one.

Names of collections, and subjects that a body names, are looked for in the galleries, which show
what may be seen alone. Ids in an address are looked up here, before their route does anything: one
of another collection is answered as if there were none such.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute

from app.database import Database
from app.keys.caller import Caller
from app.problems import (
    BundleNotFound,
    CollectionNotFound,
    ErasureNotFound,
    JobNotFound,
    Problem,
    SubjectNotFound,
)
from app.tables import BundleRow, CollectionRow, ErasureRow, JobRow, SubjectRow


class _Kind(NamedTuple):
    """What a parameter of an address names, and how it is said that there is none."""

    read: Callable[[str], Any]
    id: InstrumentedAttribute[Any]
    collection: InstrumentedAttribute[Any]
    none_such: Callable[[], Problem]


_KINDS: Mapping[str, _Kind] = {
    "name": _Kind(
        str,
        CollectionRow.name,
        CollectionRow.id,
        lambda: CollectionNotFound("No collection has this name."),
    ),
    "subject_id": _Kind(
        UUID,
        SubjectRow.id,
        SubjectRow.collection_id,
        lambda: SubjectNotFound("No subject has this id."),
    ),
    "job_id": _Kind(
        UUID, JobRow.id, JobRow.collection_id, lambda: JobNotFound("No job has this id.")
    ),
    "bundle_id": _Kind(
        str,
        BundleRow.id,
        BundleRow.collection_id,
        lambda: BundleNotFound("No bundle has this id."),
    ),
    "erasure_id": _Kind(
        UUID,
        ErasureRow.id,
        ErasureRow.collection_id,
        lambda: ErasureNotFound("No erasure has this id."),
    ),
}
_OF_A_SUBJECT = frozenset({"sample_id", "feedback_id"})
"""Looked for among what is the subject's, whose id stands before them."""


async def refuse_what_others_have(
    caller: Caller, parameters: Mapping[str, str], database: Database
) -> None:
    """Refuse an address that names something of a collection which the key is not good for.

    Args:
        caller: who asks.
        parameters: of the address, by their names in the route.
        database: that knows what is whose.

    Raises:
        MissingScope: it can't be told what an address names, and the key is not good for all.
        CollectionNotFound, SubjectNotFound, JobNotFound, BundleNotFound, ErasureNotFound: as if
            there were none such.
    """
    if caller.collections is None:
        return
    for name, value in parameters.items():
        if kind := _KINDS.get(name):
            if not await _is_among(caller.collections, kind, value, database):
                raise kind.none_such()
        elif name not in _OF_A_SUBJECT or "subject_id" not in parameters:
            caller.require_all_collections()


async def _is_among(
    collections: frozenset[str], kind: _Kind, value: str, database: Database
) -> bool:
    try:
        wanted = kind.read(value)
    except ValueError:
        return False
    if "\0" in value:  # which Postgres has no text with
        return False
    its_collection = select(kind.collection).where(kind.id == wanted)
    statement = select(CollectionRow.name).where(CollectionRow.id.in_(its_collection))
    async with database.snapshot() as session:
        return await session.scalar(statement) in collections
