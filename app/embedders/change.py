"""Change the embedder of a collection while it is searched, from the kept pictures of its samples.

Templates by the other embedder are made aside, a portion a transaction: if this is ended before,
the next call goes on. When every sample has one, whoever enrols waits for a moment: what came last
is made, and the samples' templates, the embedder and the feed's row are changed in one transaction.
Searches go on throughout, each wholly by one embedder: a replica reads the collection anew when the
feed tells of the change. Variants, which only trainings read, follow.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID, uuid5

import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from app.bundles.repository import deactivate, lock_for_change
from app.database import Database
from app.embedders import repository
from app.embedders.presence import count_without
from app.embedders.reembedding import NamedTemplates, reembed
from app.embedders.refusals import (
    NAME_BOTH,
    ChangeRefused,
    refuse_absent,
    refuse_not_found_again,
    refuse_without_pictures,
)
from app.embedders.repository import Counts, Pending
from app.embedders.running import Embedders, RunningEmbedder
from app.encryption.contents import PICTURE, SAMPLE, VARIANT
from app.gallery.repository import TEMPLATE_DTYPE, embedder_of, record_change
from app.jobs.lock import job_lock_if_free
from app.problems import EmbedderNotRunning
from app.subjects.repository import to_bytes
from app.tables import CollectionRow
from models.zoo import EmbedderId
from vault.vault import Vault

PORTION = 32
"""Samples a transaction."""
LAST = 16
"""Samples that may be left for when those who enrol wait: a second or two."""

VARIANTS_PORTION = 20_000
"""Templates a transaction, when nobody waits."""

_LOCKS = UUID("4f6a1f0e-3c55-4a0e-9c76-6f1f4b8f6a10")
"""Makes the locks of changes from the ids of collections."""


class Changed(NamedTuple):
    """What a change has done."""

    samples: int
    verdicts_deleted: int


@dataclass
class _Change:
    """One change that is under way."""

    collection_id: UUID
    old: RunningEmbedder
    new: RunningEmbedder
    database: Database
    vault: Vault
    pool: ThreadPoolExecutor
    not_found_again: set[UUID] = field(default_factory=set)
    """Samples whose pictures don't show their faces any more."""

    async def counts(self) -> Counts:
        async with self.database.snapshot() as session:
            return await repository.count(session, self.collection_id, self.new.known.id)

    async def make_some(self, session: AsyncSession) -> int:
        """Make the templates of a portion of samples; tell how many those are."""
        pending = await repository.list_pending(
            session,
            self.collection_id,
            self.new.known.id,
            limit=PORTION,
            leave_out=self.not_found_again,
        )
        loop = asyncio.get_running_loop()
        made = await asyncio.gather(
            *(loop.run_in_executor(self.pool, self._reembed, each) for each in pending)
        )
        present = await repository.keep_present(session, [each.sample_id for each in pending])
        for sample, templates in zip(pending, made, strict=True):
            if templates is None:
                self.not_found_again.add(sample.sample_id)
            elif sample.sample_id in present:
                await repository.insert_next(session, self._rows(sample, templates))
        return len(pending)

    def _reembed(self, sample: Pending) -> NamedTemplates | None:
        picture = self.vault.open(sample.picture, purpose=PICTURE, owner=sample.sample_id)
        template = self.vault.open(sample.template, purpose=SAMPLE, owner=sample.subject_id)
        return reembed(
            picture,
            np.frombuffer(template, TEMPLATE_DTYPE),
            variants=sample.variants,
            old=self.old.path,
            new=self.new.path,
        )

    def _rows(self, sample: Pending, templates: NamedTemplates) -> Sequence[dict[str, object]]:
        return [
            {
                "sample_id": sample.sample_id,
                "embedder_sha256": self.new.manifest.sha256,
                "kind": kind,
                "template": self.vault.seal(
                    to_bytes(template),
                    purpose=SAMPLE if kind is None else VARIANT,
                    owner=sample.subject_id if kind is None else sample.sample_id,
                ),
            }
            for kind, template in templates
        ]

    async def switch(self) -> Changed | None:
        """Change the embedder, unless too much was enrolled since the last look: then None."""
        async with self.database.transaction() as session:
            await lock_for_change(session, self.collection_id)
            if await embedder_of(session, self.collection_id) != self.old.known.id:
                raise _gone()
            counts = await repository.count(session, self.collection_id, self.new.known.id)
            refuse_without_pictures(counts, self.new.manifest.name)
            if counts.total - counts.done > LAST:
                return None
            while await self.make_some(session):
                pass
            refuse_not_found_again(self.not_found_again)
            deleted = await repository.take_over(session, self.collection_id, self.new.known.id)
            await deactivate(session, self.collection_id)
            await repository.cancel_retrainings(session, self.collection_id)
            await record_change(
                session,
                collection_id=self.collection_id,
                subject_id=self.collection_id,
                kind="embedder_changed",
            )
        return Changed(counts.total, deleted)


async def change_embedder(
    name: str,
    to: str,
    *,
    database: Database,
    vault: Vault,
    embedders: Embedders,
    workers: int,
    tell: Callable[[Counts], None],
) -> Changed:
    """Change the embedder of a collection.

    Args:
        name: of the collection.
        to: name of the other embedder.
        database: that services may run on.
        vault: of the database.
        embedders: that run in this process: the collection's and the other one must be among them.
        workers: pictures worked on at once.
        tell: called with how far it is.

    Raises:
        ChangeRefused: it can't be, or not now; what was made so far is kept for the next call.
    """
    async with database.snapshot() as session:
        row = await repository.find_by_name(session, name)
    if row is None:
        raise ChangeRefused(f"There is no collection {name!r}.", "`GET /collections` lists them.")
    lock = uuid5(_LOCKS, str(row.id))
    async with job_lock_if_free(database.address, lock) as free:
        if not free:
            raise ChangeRefused(
                f"The embedder of {name!r} is being changed already.", "Wait for its end."
            )
        # Of a call that was ended right after its switch.
        await _move_variants(database, row.id)
        old, new = _choose(row, to, embedders)
        await _refuse_where_it_does_not_run(database, new.known.id)
        with ThreadPoolExecutor(workers) as pool:
            change = _Change(row.id, old, new, database, vault, pool)
            return await _carry_out(change, tell)


async def _carry_out(change: _Change, tell: Callable[[Counts], None]) -> Changed:
    while True:
        counts = await change.counts()
        refuse_without_pictures(counts, change.new.manifest.name)
        tell(counts)
        async with change.database.transaction() as session:
            made = await change.make_some(session)
        if made:
            continue
        refuse_not_found_again(change.not_found_again)
        await _refuse_where_it_does_not_run(change.database, change.new.known.id)
        if (changed := await change.switch()) is not None:
            await _move_variants(change.database, change.collection_id)
            async with change.database.transaction() as session:
                await repository.forget_next(session, change.collection_id)
            return changed


async def _move_variants(database: Database, collection_id: UUID) -> None:
    moved = VARIANTS_PORTION
    while moved:
        async with database.transaction() as session:
            moved = await repository.move_variants(session, collection_id, limit=VARIANTS_PORTION)


def _choose(
    row: CollectionRow, to: str, embedders: Embedders
) -> tuple[RunningEmbedder, RunningEmbedder]:
    """Give the collection's embedder and the other one."""
    old = EmbedderId(row.embedder_name, row.embedder_sha256)
    try:
        new = embedders.named(to)
    except EmbedderNotRunning as problem:
        raise ChangeRefused(f"No embedder {to!r} is known here.", NAME_BOTH) from problem
    if new.known.id == old:
        raise ChangeRefused(
            f"{row.name!r} has the embedder {to!r} already.", "There is nothing more to do."
        )
    if not embedders.runs(old):
        raise ChangeRefused(
            f"The present embedder of {row.name!r}, {old.name!r}, is not known here.", NAME_BOTH
        )
    return embedders.of(old), new


async def _refuse_where_it_does_not_run(database: Database, embedder: EmbedderId) -> None:
    async with database.snapshot() as session:
        without = await count_without(session, embedder)
    refuse_absent(without, embedder.name)


def _gone() -> ChangeRefused:
    return ChangeRefused(
        "The collection was deleted, or its embedder changed, meanwhile.", "Look at it again."
    )
