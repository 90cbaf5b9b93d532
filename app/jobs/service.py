"""Jobs: start, show and cancel them.

With Redis they are put into queues, and workers run them (`cohort worker`); without, this process
does. Either way Postgres says who runs a job: the one who holds its lock and has claimed its row.
"""

import asyncio
from typing import Any
from uuid import UUID, uuid4

from redis import RedisError
from sqlalchemy.exc import IntegrityError

from app.audit.facts import note
from app.bundles.service import Bundles
from app.database import Database
from app.embedders.running import Embedders
from app.gallery.lookup import find_collection_id, find_gallery
from app.gallery.service import Galleries
from app.jobs import repository
from app.jobs.attended import Work
from app.jobs.child import can_train
from app.jobs.claim import RETRAINING, Claim
from app.jobs.hands import Hands
from app.jobs.leftovers import TRAINING, end_dead_jobs, folder_of
from app.jobs.place import place_of
from app.jobs.queue import REDIS_AWAY, JobQueue
from app.jobs.runner import Retraining
from app.jobs.schemas import JobList, JobOut
from app.problems import (
    CollectionNotFound,
    JobFinished,
    JobNotFound,
    RetrainingRuns,
    TooFewSubjects,
    TrainingUnavailable,
)
from app.settings import Settings

TAKEN_AT_ONCE = 16
"""Batches of a kind that wait for their turn in this process; the others do in the database."""


class Jobs:
    """The jobs of all collections, some of which this process runs."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        galleries: Galleries,
        bundles: Bundles,
        embedders: Embedders,
        queue: JobQueue | None,
    ) -> None:
        """Hold together what jobs need.

        Args:
            settings: of this process.
            database: of the jobs.
            galleries: whose collections are worked on.
            bundles: that retrainings publish into.
            embedders: that collections belong to.
            queue: before the workers; None: this process runs its jobs itself.
        """
        self._settings = settings
        self._database = database
        self._galleries = galleries
        self._bundles = bundles
        self._embedders = embedders
        self.folder = settings.data_dir.resolve() / TRAINING
        self._queue = queue
        self.hands = Hands(database)
        self.hands.learn(RETRAINING, self._retraining)
        self.stopping = self.hands.stopping
        """Set when the service is about to stop: whoever follows a job goes home."""

    @property
    def has_workers(self) -> bool:
        """Whether jobs are for workers, if there are any just now or not."""
        return self._queue is not None

    async def start(
        self,
        collection: str,
        *,
        key_id: str | None = None,
        full: bool = False,
        target_size: int | None = None,
        seed: int | None = None,
        automatic: int | None = None,
    ) -> JobOut:
        """Start a retraining.

        Args:
            collection: its name.
            key_id: of the API key that asks for it.
            full: train all subnets.
            target_size: subjects a cluster.
            seed: at least 0.
            automatic: None: somebody has asked for it; else how many subjects have changed.

        Raises:
            CollectionNotFound, EmbedderMismatch: it can't be trained on.
            TooFewSubjects: fewer than two subjects have samples.
            TrainingUnavailable: there is nothing to train with. Workers may have it, so with them
                the job waits.
            RetrainingRuns: the collection has an unfinished job.
        """
        collection_id = (await find_gallery(self._galleries, collection)).collection_id
        async with self._database.snapshot() as session:
            enough = await repository.has_two_subjects(session, collection_id)
        if not enough:
            raise TooFewSubjects("A training needs two subjects with samples at least.")
        await end_dead_jobs(self._database, collection_id, workers=self.has_workers)
        await self._refuse_beside_another(collection_id)
        if not self.has_workers and not await self.can_train():
            raise TrainingUnavailable(
                f"Training needs torch, which {self._settings.training_python} does not have: "
                "`make setup-training` builds .venv-training with it, which `make run` uses; "
                "COHORT_TRAINING_PYTHON names any other interpreter that has it."
            )
        options: dict[str, object] = {
            "full": full,
            "target_size": target_size,
            "seed": seed,
            "automatic": automatic is not None,
            "changed": automatic,
        }
        job_id = uuid4()
        fields: dict[str, Any] = {
            "id": job_id,
            "collection_id": collection_id,
            "key_id": key_id,
            "options": options,
        }
        begin = self._write_down if self.has_workers else self.hands.insert_and_run
        if not await begin(fields):
            await self._refuse_beside_another(collection_id)
            raise RetrainingRuns("The collection was being retrained; that is over now.")
        return await self.get(job_id)

    async def can_train(self) -> bool:
        """Tell whether there is what training needs."""
        return await can_train(self._settings.training_python)

    async def announce(self) -> None:
        """Have the queued jobs begun: put them before the workers, or begin them here.

        To be called when one was written down, and again and again: Redis may be away, or have
        forgotten everything; and a hint is gone with the worker that took it.
        """
        if self._queue is None:
            async with self._database.snapshot() as session:
                job_ids = await repository.next_batches(session, limit=TAKEN_AT_ONCE)
            for job_id in job_ids:
                self.hands.take_aside(job_id)
            return
        async with self._database.snapshot() as session:
            rows = await repository.queued(session)
        try:
            told = await self._queue.put(rows)
        except RedisError:
            told = {row.id: REDIS_AWAY for row in rows}
        async with self._database.transaction() as session:
            for row in rows:
                if row.message != told[row.id]:
                    await repository.say(session, row, told[row.id])

    async def _write_down(self, fields: dict[str, Any]) -> bool:
        """Write a retraining down for workers; False if the collection has an unfinished one."""
        fields["options"]["place"] = await asyncio.to_thread(place_of, self._settings)
        try:
            async with self._database.transaction() as session:
                inserted = await repository.insert_unless_one_runs(session, fields)
        except IntegrityError:
            raise CollectionNotFound("The collection was deleted meanwhile.") from None
        if inserted:
            await self.announce()
        return inserted

    def _retraining(self, claim: Claim) -> Work:
        return Retraining(
            claim=claim,
            folder=folder_of(self.folder, claim),
            settings=self._settings,
            embedders=self._embedders,
            database=self._database,
            bundles=self._bundles,
        )

    async def _refuse_beside_another(self, collection_id: UUID) -> None:
        async with self._database.snapshot() as session:
            running = await repository.unfinished(session, collection_id, kind=RETRAINING)
        if running:
            raise RetrainingRuns(
                "The collection is being retrained; wait for the job's end, or cancel it.",
                job=JobOut.of(*running[0]).model_dump(mode="json"),
            )

    async def list(self, collection: str | None) -> JobList:
        """List the last jobs of a collection, or of all, the newest first.

        Raises:
            CollectionNotFound: there is no such collection.
        """
        if collection is not None:
            await find_collection_id(self._galleries, collection)
        async with self._database.snapshot() as session:
            found = await repository.list_jobs(session, collection=collection)
        return JobList(jobs=[JobOut.of(*each) for each in found])

    async def get(self, job_id: UUID) -> JobOut:
        """Show a job.

        Raises:
            JobNotFound: there is none of this id.
        """
        async with self._database.snapshot() as session:
            found = await repository.list_jobs(session, job_id=job_id)
        if not found:
            raise JobNotFound("No job has this id.")
        note(collection_id=found[0].row.collection_id)
        return JobOut.of(*found[0])

    async def cancel(self, job_id: UUID) -> JobOut:
        """Ask for the end of a job; whichever process runs it ends it within a second. One that
        nobody has begun is over at once.

        Raises:
            JobNotFound: there is none of this id.
            JobFinished: it is over.
        """
        await self.get(job_id)
        await end_dead_jobs(self._database, workers=self.has_workers)
        async with self._database.transaction() as session:
            asked = await repository.request_cancel(session, job_id)
        job = await self.get(job_id)
        if not asked:
            raise JobFinished(f"The job is over: it was {job.state}.", state=job.state)
        return job

    async def close(self) -> None:
        """End the jobs that this process runs, and let go of the queue."""
        await self.hands.close()
        if self._queue is not None:
            await self._queue.close()
