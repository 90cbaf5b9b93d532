"""Retrainings: start, show and cancel them."""

import asyncio
from uuid import UUID, uuid4

from sqlalchemy.exc import IntegrityError

from app.bundles.service import Bundles
from app.database import Database
from app.gallery.service import Galleries
from app.jobs import repository
from app.jobs.child import can_train
from app.jobs.leftovers import TRAINING, end_dead_jobs
from app.jobs.lock import job_lock
from app.jobs.runner import Retraining
from app.jobs.schemas import JobList, JobOut
from app.logs import describe_error, get_logger
from app.problems import (
    CollectionNotFound,
    JobFinished,
    JobNotFound,
    RetrainingRuns,
    TooFewSubjects,
    TrainingUnavailable,
)
from app.settings import Settings

log = get_logger()


class Jobs:
    """The retrainings of all collections, some of which this process runs."""

    def __init__(
        self, *, settings: Settings, database: Database, galleries: Galleries, bundles: Bundles
    ) -> None:
        self._settings = settings
        self._database = database
        self._galleries = galleries
        self._bundles = bundles
        self.folder = settings.data_dir.resolve() / TRAINING
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore()
        self.stopping = asyncio.Event()
        """Set when the service is about to stop: whoever follows a job goes home."""

    async def start(
        self,
        collection: str,
        *,
        full: bool = False,
        target_size: int | None = None,
        seed: int | None = None,
        automatic: int | None = None,
    ) -> JobOut:
        """Start a retraining.

        Args:
            collection: its name.
            full: train all subnets.
            target_size: subjects a cluster.
            seed: at least 0.
            automatic: None: somebody has asked for it; else how many subjects have changed.

        Raises:
            CollectionNotFound, EmbedderMismatch: it can't be trained on.
            TooFewSubjects: fewer than two subjects have samples.
            TrainingUnavailable: there is nothing to train with.
            RetrainingRuns: the collection has an unfinished job.
        """
        collection_id = self._galleries.find_usable(collection).collection_id
        async with self._database.snapshot() as session:
            enough = await repository.has_two_subjects(session, collection_id)
        if not enough:
            raise TooFewSubjects("A training needs two subjects with samples at least.")
        await end_dead_jobs(self._database, collection_id)
        await self._refuse_beside_another(collection_id)
        if not await self.can_train():
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
        begun: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._run(job_id, collection_id, options, begun))
        self._tasks[job_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job_id, None))
        if not await begun:
            await self._refuse_beside_another(collection_id)
            raise RetrainingRuns("The collection was being retrained; that is over now.")
        return await self.get(job_id)

    async def can_train(self) -> bool:
        """Tell whether there is what training needs."""
        return await can_train(self._settings.training_python)

    async def _run(
        self,
        job_id: UUID,
        collection_id: UUID,
        options: dict[str, object],
        begun: "asyncio.Future[bool]",
    ) -> None:
        """Hold the job's lock from before its row can be seen until it is over."""
        try:
            async with job_lock(self._database.address, job_id):
                async with self._database.transaction() as session:
                    fields = {"id": job_id, "collection_id": collection_id, "options": options}
                    inserted = await repository.insert_unless_one_runs(session, fields)
                if not begun.done():  # else whoever asked has gone
                    begun.set_result(inserted)
                if inserted:
                    await Retraining(
                        job_id=job_id,
                        collection_id=collection_id,
                        options=options,
                        folder=self.folder / str(job_id),
                        settings=self._settings,
                        database=self._database,
                        bundles=self._bundles,
                        turn=self._turn,
                    ).run()
        except IntegrityError:
            _fail(begun, CollectionNotFound("The collection was deleted meanwhile."))
        except Exception as error:  # noqa: BLE001  (whoever waits is to hear of it)
            _fail(begun, error)
        finally:
            begun.cancel()

    async def _refuse_beside_another(self, collection_id: UUID) -> None:
        async with self._database.snapshot() as session:
            running = await repository.unfinished(session, collection_id)
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
            self._galleries.find(collection)
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
        return JobOut.of(*found[0])

    async def cancel(self, job_id: UUID) -> JobOut:
        """Ask for the end of a job; whichever process runs it ends it within a second.

        Raises:
            JobNotFound: there is none of this id.
            JobFinished: it is over.
        """
        job = await self.get(job_id)
        await end_dead_jobs(self._database)
        async with self._database.transaction() as session:
            asked = await repository.request_cancel(session, job_id)
        if not asked:
            job = await self.get(job_id)
            raise JobFinished(f"The job is over: it was {job.state}.", state=job.state)
        return job

    async def close(self) -> None:
        """End the jobs that this process runs; they are failed."""
        self.stopping.set()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _fail(begun: "asyncio.Future[bool]", error: Exception) -> None:
    """Tell whoever waits for a job's beginning, or the log."""
    if begun.done():
        log.error("job_lost", **describe_error(error))
    else:
        begun.set_exception(error)
