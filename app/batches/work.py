"""The work of a batch: one item after the other through what single calls go through.

Each item's report is the proof that it is done, and is written with what it tells of. So a batch
that another process goes on with leaves out what is done, and does nothing twice.
"""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from app.batches import repository
from app.batches.items import Item, items
from app.batches.schemas import ENROL
from app.batches.upload import stored_upload
from app.jobs.attended import AWAY
from app.jobs.claim import Claim
from app.jobs.outcome import JobFailed, Outcome
from app.jobs.progress import Progress
from app.logs import get_logger
from app.problems import (
    Behind,
    DatabaseUnavailable,
    EmbedderMismatch,
    Overloaded,
    Problem,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from app.services import Services

TRY_AGAIN: tuple[type[Exception], ...] = (Overloaded, Behind, DatabaseUnavailable, *AWAY)
TRY_AGAIN_AFTER_S = 1.0

log = get_logger()


class Batch:
    """A batch that this process has begun."""

    def __init__(
        self, claim: Claim, services: "Services", handle: "Callable[[Item], Awaitable[None]]"
    ) -> None:
        """Prepare it.

        Args:
            claim: of this process.
            services: the opened parts of the service.
            handle: does an item, and writes it down.
        """
        self._claim = claim
        self._services = services
        self._handle = handle
        self.progress = Progress(stage="items")
        self.settling = False

    async def do(self) -> Outcome:
        """Do all items that are not done yet.

        Raises:
            JobFailed: it can't go on.
            JobLost: another process has it.
        """
        job_id, total = self._claim.job_id, self._claim.options["total"]
        async with self._services.database.snapshot() as session:
            if await repository.is_revoked(session, self._claim.key_id):
                raise JobFailed("The key that asked for it was revoked.")
            done = await repository.positions(session, job_id)
        log.info("job_started", job=str(job_id), attempt=self._claim.attempt, done=len(done))
        try:
            await self._do_all(done)
        except ExceptionGroup as group:
            # One is enough to end it, and the others were cancelled.
            first = group.exceptions[0]
            if isinstance(first, Problem):
                raise JobFailed(first.detail) from group
            raise first from group
        async with self._services.database.snapshot() as session:
            counts = await repository.counts(session, job_id)
        metrics = {"items": total, "failed": counts.failed}
        message = f"{total:,} items, {counts.failed:,} of them failed."
        return Outcome("done", message, {"metrics": metrics, "progress": 1.0})

    async def clear(self) -> None:
        """Leave nothing: nothing is on the disk."""

    async def _do_all(self, done: set[int]) -> None:
        options, settings = self._claim.options, self._services.settings
        upload = stored_upload(
            self._services.database,
            self._services.vault,
            job_id=self._claim.job_id,
            size=options["bytes"],
        )
        coming = items(
            upload,
            options["format"],
            size=options["bytes"],
            enrol=self._claim.kind == ENROL,
            max_picture_bytes=settings.max_image_bytes,
            skip=done.__contains__,
        )
        self._count(len(done))
        # Half of the places at most: the other half is for those who wait for an answer.
        turns = asyncio.Semaphore(max(1, settings.inference_workers // 2))
        async with asyncio.TaskGroup() as group:
            while (item := await asyncio.to_thread(next, coming, None)) is not None:
                if item.position not in done:
                    await turns.acquire()
                    group.create_task(self._do(item, done, turns))

    async def _do(self, item: Item, done: set[int], turns: asyncio.Semaphore) -> None:
        try:
            while True:
                try:
                    await self._handle(item)
                    break
                except TRY_AGAIN:
                    await asyncio.sleep(TRY_AGAIN_AFTER_S)
                except EmbedderMismatch as problem:
                    raise JobFailed(problem.detail) from problem
        finally:
            turns.release()
        done.add(item.position)
        self._count(len(done))

    def _count(self, done: int) -> None:
        fraction = round(done / max(self._claim.options["total"], 1), 4)
        self.progress = replace(self.progress, fraction=min(fraction, 1.0))
