"""SQL of the feed, and of the templates and labels that galleries are made from."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ARRAY,
    Row,
    Select,
    Uuid,
    and_,
    any_,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.announcements import announce
from app.database import held_at_most
from app.encryption.contents import FEEDBACK, SAMPLE
from app.logs import get_logger
from app.tables import (
    BundleRow,
    ChangeRow,
    CollectionRow,
    FeedbackRow,
    SampleRow,
    SubjectRow,
)
from models.arrays import Floats
from models.zoo import EmbedderId
from vault.vault import SealBroken, UnknownDataKey, Vault

ChangeKind = Literal[
    "subject_enrolled",
    "samples_added",
    "sample_deleted",
    "subject_updated",
    "subject_deleted",
    "feedback_given",
    "embedder_changed",
    "renamed",
]
OF_COLLECTION: tuple[ChangeKind, ...] = ("embedder_changed", "renamed")
"""Changes of the collection itself; their rows have its id in the place of a subject's."""
OF_TEMPLATES: tuple[ChangeKind, ...] = (
    "subject_enrolled",
    "samples_added",
    "sample_deleted",
    "subject_deleted",
)
"""Changes after which a bundle no longer knows a subject as it is."""

SUBJECTS_AT_ONCE = 1_000
"""Their templates are fetched in portions, so that a large gallery is not in memory three times.
Not by a cursor of the server, for one that is cancelled as it opens stays open."""

TEMPLATE_DTYPE = np.dtype("<f4")

log = get_logger()


class Label(NamedTuple):
    """How a subject is called in an answer."""

    external_id: str | None
    name: str | None


class StoredSubjects(NamedTuple):
    """Subjects of a collection and all their templates."""

    labels: dict[UUID, Label]
    """In the order that `owners` counts in; a subject may have no template."""
    owners: NDArray[np.int64]
    """(S,) position in `labels` of each template's subject."""
    templates: Floats
    """(S, d) unit rows."""
    rejected: dict[UUID, Floats]
    """(r, d) templates that feedback says are not of a subject; only of subjects with some."""


class StoredCollection(NamedTuple):
    """A collection, and which bundle it is searched with."""

    row: CollectionRow
    bundle_id: str | None

    @property
    def embedder(self) -> EmbedderId:
        return EmbedderId(self.row.embedder_name, self.row.embedder_sha256)


async def record_change(
    session: AsyncSession, *, collection_id: UUID, subject_id: UUID, kind: ChangeKind
) -> int:
    """Write the change that a transaction makes; its revision is the result.

    This must be the last statement before the commit: it takes the collection's row, whose lock
    then makes other writers wait, so that revisions appear in the order in which they count.
    """
    revision: int = (
        await session.execute(
            update(CollectionRow)
            .where(CollectionRow.id == collection_id)
            .values(revision=CollectionRow.revision + 1)
            .returning(CollectionRow.revision, held_at_most())
        )
    ).scalar_one()
    await session.execute(
        insert(ChangeRow).values(
            collection_id=collection_id, revision=revision, subject_id=subject_id, kind=kind
        )
    )
    announce(session, collection_id, revision)
    return revision


async def lock_collection(session: AsyncSession, collection_id: UUID) -> bool:
    """Keep the collection from being deleted until the transaction ends; False if it is gone."""
    found = await session.scalar(
        select(CollectionRow.id)
        .where(CollectionRow.id == collection_id)
        .with_for_update(read=True, key_share=True)
    )
    return found is not None


async def list_collections(session: AsyncSession) -> list[StoredCollection]:
    """List all collections by name."""
    found = await session.execute(_collections().order_by(CollectionRow.name))
    return [StoredCollection(*row) for row in found]


async def find_collection(session: AsyncSession, collection_id: UUID) -> StoredCollection | None:
    """Find a collection by its id."""
    found = await session.execute(_collections().where(CollectionRow.id == collection_id))
    row = found.one_or_none()
    return None if row is None else StoredCollection(*row)


def _collections() -> Select[CollectionRow, str]:
    """Each with the id of its active bundle; NULL where there is none."""
    active = and_(BundleRow.collection_id == CollectionRow.id, BundleRow.active)
    return select(CollectionRow, BundleRow.id).outerjoin(BundleRow, active)


async def current_revision(session: AsyncSession, collection_id: UUID) -> int | None:
    """Tell the last change of a collection; None if that is gone."""
    return await session.scalar(
        select(CollectionRow.revision).where(CollectionRow.id == collection_id)
    )


class Changes(NamedTuple):
    """What the feed names after a revision."""

    subjects: set[UUID]
    kinds: set[str]


async def changes_since(session: AsyncSession, collection_id: UUID, revision: int) -> Changes:
    """List the subjects that have changed after a revision, and what kinds of changes those are."""
    rows = (
        await session.execute(
            select(ChangeRow.subject_id, ChangeRow.kind).where(
                ChangeRow.collection_id == collection_id, ChangeRow.revision > revision
            )
        )
    ).all()
    return Changes(
        subjects={subject_id for subject_id, kind in rows if kind not in OF_COLLECTION},
        kinds={kind for _, kind in rows},
    )


async def name_of(session: AsyncSession, collection_id: UUID) -> str:
    """Give the name of a collection that is there."""
    found = await session.execute(
        select(CollectionRow.name).where(CollectionRow.id == collection_id)
    )
    return found.scalar_one()


async def embedder_of(session: AsyncSession, collection_id: UUID) -> EmbedderId | None:
    """Tell which embedder a collection belongs to; None if it is gone."""
    found = await session.execute(
        select(CollectionRow.embedder_name, CollectionRow.embedder_sha256).where(
            CollectionRow.id == collection_id
        )
    )
    row = found.one_or_none()
    return None if row is None else EmbedderId(*row)


async def subjects_changed_since(
    session: AsyncSession,
    collection_id: UUID,
    revision: int,
    *,
    kinds: Sequence[ChangeKind],
) -> set[UUID]:
    """List the subjects that the feed names after a revision."""
    return set(
        await session.scalars(
            select(ChangeRow.subject_id).where(
                ChangeRow.collection_id == collection_id,
                ChangeRow.revision > revision,
                ChangeRow.kind.in_(kinds),
            )
        )
    )


async def load_subjects(
    session: AsyncSession,
    collection_id: UUID,
    vault: Vault,
    *,
    dimension: int,
    only: Collection[UUID] | None = None,
) -> StoredSubjects:
    """Load the labels, templates and rejected templates of a collection's subjects, or of some.

    A template that can't be opened, as if it were another subject's, is left out, and the log says
    whose it is: one damaged row must not keep the service from starting.

    `dimension`, d, is needed when there is no template. `only` leaves out all other subjects;
    those of it that are gone are left out, too.
    """
    subjects = select(SubjectRow.id, SubjectRow.external_id, SubjectRow.name).where(
        SubjectRow.collection_id == collection_id
    )
    samples = select(SampleRow.id, SampleRow.subject_id, SampleRow.template).order_by(
        SampleRow.created_at, SampleRow.id
    )
    rejections = (
        select(FeedbackRow.id, FeedbackRow.subject_id, FeedbackRow.template)
        .where(FeedbackRow.collection_id == collection_id, FeedbackRow.verdict == "rejected")
        .order_by(FeedbackRow.created_at, FeedbackRow.id)
    )
    if only is not None:
        # As one parameter: a statement can't have more than 65,535.
        these = any_(literal(list(only), ARRAY(Uuid)))
        subjects = subjects.where(SubjectRow.id == these)
        rejections = rejections.where(FeedbackRow.subject_id == these)
    labels = {
        subject_id: Label(external_id, name)
        for subject_id, external_id, name in await session.execute(subjects)
    }
    positions = {subject_id: position for position, subject_id in enumerate(labels)}
    owners: list[int] = []
    portions: list[Floats] = []
    ids = list(labels)
    for first in range(0, len(ids), SUBJECTS_AT_ONCE):
        portion = any_(literal(ids[first : first + SUBJECTS_AT_ONCE], ARRAY(Uuid)))
        rows = (await session.execute(samples.where(SampleRow.subject_id == portion))).all()
        opened = await asyncio.to_thread(_opened, rows, vault, SAMPLE)
        owners.extend(positions[subject_id] for subject_id, _ in opened)
        if opened:
            portions.append(np.stack([template for _, template in opened]))
    rejected: dict[UUID, list[Floats]] = {}
    rows = (await session.execute(rejections)).all()
    for subject_id, template in await asyncio.to_thread(_opened, rows, vault, FEEDBACK):
        rejected.setdefault(subject_id, []).append(template)
    return StoredSubjects(
        labels=labels,
        owners=np.array(owners, np.int64),
        templates=(
            np.concatenate(portions, dtype=np.float32)
            if portions
            else np.empty((0, dimension), np.float32)
        ),
        rejected={subject_id: np.stack(rows) for subject_id, rows in rejected.items()},
    )


def _opened(
    rows: Sequence[Row[UUID, UUID, bytes]], vault: Vault, purpose: str
) -> list[tuple[UUID, Floats]]:
    """The (d,) templates of rows of id, subject and what is sealed; with their subjects."""
    opened: list[tuple[UUID, Floats]] = []
    for row_id, subject_id, sealed in rows:
        try:
            template = vault.open(sealed, purpose=purpose, owner=subject_id)
        except (SealBroken, UnknownDataKey) as error:
            log.error("template_unreadable", kind=purpose, id=str(row_id), reason=str(error))
            continue
        opened.append((subject_id, np.frombuffer(template, TEMPLATE_DTYPE)))
    return opened
