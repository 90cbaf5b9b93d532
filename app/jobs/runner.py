"""One retraining from its start to its end, whichever that is."""

import asyncio
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncSession

from app.bundles.repository import active_id
from app.bundles.service import Bundles
from app.database import Database
from app.jobs import repository
from app.jobs.child import TrainingFailed, run_training
from app.jobs.decision import Results, ResultsUnreadable, judge
from app.jobs.progress import Progress
from app.jobs.repository import FinalState
from app.logs import describe_error, get_logger
from app.problems import CollectionNotFound
from app.settings import Settings
from models.bundle_format import BundleInvalid

WRITE_EVERY_S = 0.5
"""Between two writes of a job's row, and two looks at whether it is to end."""
STOPPED = "The service was stopped while it ran; start another retraining."

AWAY = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)
"""What the database raises while it can't be reached."""

log = get_logger()


class JobCancelled(Exception):
    """Somebody has asked for the job's end."""


class JobOver(Exception):
    """Others have ended the job: they found nobody who held its lock."""


class Outcome(NamedTuple):
    """How a job has ended."""

    state: FinalState
    message: str
    fields: Mapping[str, Any] = MappingProxyType({})
    """More columns of its row."""


@dataclass
class Retraining:
    """A job that this process runs."""

    job_id: UUID
    collection_id: UUID
    options: dict[str, Any]
    folder: Path
    """Where its process works, and nobody else; it holds templates."""
    settings: Settings
    database: Database
    bundles: Bundles
    turn: asyncio.Semaphore
    """Trainings of several collections go one after the other."""
    progress: Progress = field(default_factory=Progress)
    _publishing: bool = False

    async def run(self) -> None:
        """Train, compare and publish; the row says how it ended. Raises nothing but being ended."""
        try:
            outcome = await self._attended()
        except asyncio.CancelledError:
            await self._end(Outcome("failed", STOPPED))
            raise
        except JobCancelled:
            outcome = Outcome("cancelled", "Cancelled.")
        except JobOver:
            log.warning("job_ended_by_others", job=str(self.job_id))
            outcome = Outcome("failed", "It was ended by another process, which found it dead.")
        except CollectionNotFound:
            log.warning("job_gone", job=str(self.job_id))
            outcome = Outcome("failed", "Its collection was deleted.")
        except (TrainingFailed, ResultsUnreadable, BundleInvalid) as error:
            log.error("job_failed", job=str(self.job_id), reason=str(error))
            outcome = Outcome("failed", str(error))
        except Exception as error:  # noqa: BLE001  (whatever it is, the job must not stay unfinished)
            log.error("job_failed", job=str(self.job_id), **describe_error(error))
            outcome = Outcome("failed", "It failed inside the service; the log says why.")
        await self._end(outcome)

    async def _attended(self) -> Outcome:
        """Work, while the row is kept up to date and looked at."""
        working = asyncio.create_task(self._work())
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            return await working
        finally:
            await _ended(working, watching)

    async def _watch(self) -> None:
        written = self.progress
        while not self._publishing:
            await asyncio.sleep(WRITE_EVERY_S)
            current = self.progress
            # An outage does not end the training here. The job's lock may have gone with its
            # connection, though: then whoever looks for dead jobs first ends it in the database,
            # and the next turn finds it over.
            with suppress(*AWAY):
                async with self.database.transaction() as session:
                    cancelled = await repository.cancel_requested(session, self.job_id)
                    if cancelled is None and not self._publishing:
                        if await repository.is_there(session, self.job_id):
                            raise JobOver
                        raise CollectionNotFound("The collection was deleted meanwhile.")
                    if cancelled:
                        raise JobCancelled
                    if current != written and not self._publishing:
                        await repository.advance(session, self.job_id, current)
                        written = current

    async def _work(self) -> Outcome:
        async with self.turn:
            async with self.database.transaction() as session:
                active = await active_id(session, self.collection_id)
                # A damaged bundle, which nobody is searched with, must not hinder the next one.
                baseline = self.bundles.in_use(self.collection_id)
                await repository.begin(session, self.job_id, baseline=baseline)
            log.info("job_started", job=str(self.job_id), baseline=baseline)
            await self._train(baseline)
            results = await asyncio.to_thread(Results.read, self.folder)
            self._publishing = True
            return await self._decide(results, active)

    async def _train(self, baseline: str | None) -> None:
        await asyncio.to_thread(self._make_folder)
        await run_training(
            self._arguments(baseline),
            python=self.settings.training_python,
            folder=self.folder,
            environment={"COHORT_DATABASE_URL": self.database.address},
            memory_bytes=self.settings.training_memory_bytes,
            tell=self._take,
        )

    def _make_folder(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700)

    def _arguments(self, baseline: str | None) -> list[str]:
        arguments = [
            *("retrain", "--collection-id", str(self.collection_id)),
            *("--embedder", str(self.settings.embedder.resolve())),
            *("--out", str(self.folder)),
        ]
        if baseline is not None:
            arguments += ["--active", str(self.bundles.files.bundle(baseline).resolve())]
        if self.options["full"]:
            arguments.append("--full")
        for name in ("seed", "target_size"):
            if self.options[name] is not None:
                arguments += [f"--{name.replace('_', '-')}", str(self.options[name])]
        return arguments

    def _take(self, line: bytes) -> None:
        self.progress = self.progress.after(line)

    async def _decide(self, results: Results, active: str | None) -> Outcome:
        verdict = judge(
            results.metrics["comparison"],
            self.settings.retrain_metric,
            self.settings.retrain_margin,
        )
        told = {"metrics": results.metrics, "stage": self.progress.stage, "progress": 1.0}
        if not verdict.published:
            return Outcome("rejected", verdict.reason, told)

        async def finish(session: AsyncSession) -> None:
            row = await repository.lock_unfinished(session, self.job_id)
            if row is None:
                raise JobOver
            if row.cancel_requested:
                raise JobCancelled
            if await active_id(session, self.collection_id) != active:
                raise TrainingFailed("Another bundle was activated while it ran; start it again.")
            fields = told | {"bundle_id": results.bundle_id, "message": verdict.reason}
            await repository.note_bundle(session, self.job_id, fields)

        row = {
            "id": results.bundle_id,
            "watermark": results.watermark,
            "classes": results.classes,
            "subnets": results.subnets,
            "metrics": results.metrics,
            "job_id": self.job_id,
        }
        await self.bundles.publish(self.folder, self.collection_id, row, finish)
        return Outcome("published", verdict.reason)

    async def _end(self, outcome: Outcome) -> None:
        """End the row, as the last of all: whoever reads that the job is over finds it so.

        If the database is away, the next look for dead jobs will end it.
        """
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
        try:
            async with self.database.transaction() as session:
                await repository.finish(
                    session, self.job_id, outcome.state, outcome.message, **outcome.fields
                )
        except AWAY as error:
            log.error("job_not_ended", **describe_error(error))


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for their ends; what they raise is another's affair."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
