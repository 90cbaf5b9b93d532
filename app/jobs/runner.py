"""The work of a retraining: a process that trains, a comparison, and a bundle if it is no worse."""

import asyncio
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from app.bundles.repository import active_id
from app.bundles.service import Bundles
from app.database import Database
from app.embedders.running import Embedders
from app.encryption.service import key_variables
from app.gallery.repository import embedder_of
from app.jobs import claims
from app.jobs.child import TrainingFailed, run_training
from app.jobs.claim import Claim
from app.jobs.decision import Results, ResultsUnreadable, judge
from app.jobs.outcome import JobCancelled, JobFailed, JobLost, Outcome
from app.jobs.progress import Progress
from app.logs import get_logger
from app.settings import Settings
from models.bundle_format import BundleInvalid

log = get_logger()


@dataclass
class Retraining:
    """A retraining that this process has begun."""

    claim: Claim
    folder: Path
    """Where its process works, and nobody else; it holds templates."""
    settings: Settings
    embedders: Embedders
    database: Database
    bundles: Bundles
    progress: Progress = field(default_factory=Progress)
    settling: bool = False

    async def do(self) -> Outcome:
        """Train, compare and publish.

        Raises:
            JobFailed: the training failed, or its bundle can't be used.
            JobCancelled, JobLost: found as it was about to publish.
        """
        try:
            return await self._train_and_decide()
        except (TrainingFailed, ResultsUnreadable, BundleInvalid) as error:
            raise JobFailed(str(error)) from error

    async def clear(self) -> None:
        """Remove the folder."""
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _train_and_decide(self) -> Outcome:
        async with self.database.transaction() as session:
            active = await active_id(session, self.claim.collection_id)
            # A damaged bundle, which nobody is searched with, must not hinder the next one.
            baseline = self.bundles.in_use(self.claim.collection_id)
            await claims.note_baseline(session, self.claim, baseline)
            embedder = await embedder_of(session, self.claim.collection_id)
        log.info(
            "job_started",
            job=str(self.claim.job_id),
            attempt=self.claim.attempt,
            baseline=baseline,
        )
        if embedder is None or not self.embedders.runs(embedder):
            raise JobFailed("The collection's embedder does not run here.")
        await self._train(baseline, self.embedders.of(embedder).manifest_path)
        results = await asyncio.to_thread(Results.read, self.folder)
        self.settling = True
        return await self._decide(results, active)

    async def _train(self, baseline: str | None, embedder: Path) -> None:
        if baseline is not None:
            # The cache may have lost it, though it is searched with here.
            await asyncio.to_thread(self.bundles.files.ensure, baseline)
        await asyncio.to_thread(self._make_folder)
        await run_training(
            self._arguments(baseline, embedder),
            python=self.settings.training_python,
            folder=self.folder,
            environment={
                "COHORT_DATABASE_URL": self.database.address,
                **key_variables(self.settings),
            },
            memory_bytes=self.settings.training_memory_bytes,
            tell=self._take,
        )

    def _make_folder(self) -> None:
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700)

    def _arguments(self, baseline: str | None, embedder: Path) -> list[str]:
        arguments = [
            *("retrain", "--collection-id", str(self.claim.collection_id)),
            *("--embedder", str(embedder.resolve())),
            *("--out", str(self.folder)),
        ]
        if baseline is not None:
            arguments += ["--active", str(self.bundles.files.bundle(baseline).resolve())]
        if self.claim.options["full"]:
            arguments.append("--full")
        for name in ("seed", "target_size"):
            if self.claim.options[name] is not None:
                arguments += [f"--{name.replace('_', '-')}", str(self.claim.options[name])]
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
            row = await claims.lock_held(session, self.claim)
            if row is None:
                raise JobLost
            if row.cancel_requested:
                raise JobCancelled
            if await active_id(session, self.claim.collection_id) != active:
                raise JobFailed("Another bundle was activated while it ran; start it again.")
            fields = told | {"bundle_id": results.bundle_id, "message": verdict.reason}
            await claims.note_bundle(session, self.claim.job_id, fields)

        row = {
            "id": results.bundle_id,
            "watermark": results.watermark,
            "classes": results.classes,
            "subnets": results.subnets,
            "metrics": results.metrics,
            "job_id": self.claim.job_id,
        }
        await self.bundles.publish(self.folder, self.claim.collection_id, row, finish)
        return Outcome("published", verdict.reason)
