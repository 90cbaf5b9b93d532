"""Jobs as the API shows them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.bundles.schemas import BUNDLE_ID, METRICS
from app.collections.schemas import DEFAULT_COLLECTION
from app.jobs.claim import RETRAINING
from app.json_numbers import WHOLE
from app.tables import JobRow

Kind = Literal["retraining", "enrol_batch", "identify_batch"]
State = Literal[
    "queued", "running", "evaluating", "published", "rejected", "done", "failed", "cancelled"
]
FINAL_STATES = ("published", "rejected", "done", "failed", "cancelled")

_OPTIONS: dict[str, JsonValue] = {
    "full": False,
    "target_size": None,
    "seed": None,
    "automatic": False,
}
_JOB: dict[str, JsonValue] = {
    "job_id": "0b9c2f2e-3c55-4a0e-9c76-6f1f4b8f6a10",
    "kind": "retraining",
    "collection": "default",
    "state": "published",
    "attempts": 1,
    "stage": "report",
    "progress": 1.0,
    "message": "Published: rank1 0.9870 against 0.9865 before, on 412 probes.",
    "options": _OPTIONS,
    "metrics": METRICS,
    "baseline_bundle_id": None,
    "bundle_id": BUNDLE_ID,
    "created_at": "2026-01-20T12:04:00.123456Z",
    "started_at": "2026-01-20T12:04:00.223456Z",
    "finished_at": "2026-01-20T12:05:00.123456Z",
}


class NewRetraining(BaseModel):
    """What is to be trained anew, and how."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"collection": "default"}]}
    )

    collection: str = Field(DEFAULT_COLLECTION, description="Which collection.")
    full: bool = Field(
        False, strict=True, description="Train all subnets, however little has changed."
    )
    target_size: Annotated[int, Field(ge=2, le=100_000, strict=True), WHOLE] | None = Field(
        None, description="Subjects a cluster; by default 2,500."
    )
    seed: Annotated[int, Field(ge=0, le=2**31 - 1, strict=True), WHOLE] | None = Field(
        None, description="Of all that is drawn; by default the active bundle's."
    )


class JobOptions(BaseModel):
    """How a retraining was asked for."""

    full: bool
    target_size: int | None
    seed: int | None
    automatic: bool = Field(description="The service has started it by itself.")


class JobOut(BaseModel):
    """A retraining, or a batch."""

    model_config = ConfigDict(json_schema_extra={"examples": [_JOB]})

    job_id: UUID
    kind: Kind
    collection: str
    state: State = Field(
        description="The last five are final; a retraining ends `published` or `rejected`, a batch "
        "`done`, where nothing is in the way."
    )
    attempts: int = Field(
        description="How often a process has begun it, but for those that were stopped and gave "
        "it back in good order."
    )
    stage: str | None = Field(description="What the training is at, or was at last.")
    progress: float = Field(ge=0, le=1, description="Of all stages together.")
    message: str = Field(description="What there is to say, for people.")
    options: JobOptions | dict[str, JsonValue] = Field(
        union_mode="left_to_right", description="Of a batch: as it was asked for."
    )
    metrics: dict[str, Any] = Field(
        description="Once it is compared: the figures of the new bundle and of what was active."
    )
    baseline_bundle_id: str | None = Field(
        description="The bundle it is compared with; null: none was active."
    )
    bundle_id: str | None = Field(description="The bundle that it has published.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: JobRow, collection: str) -> "JobOut":
        """Show a row."""
        return cls(
            job_id=row.id,
            kind=row.kind,
            collection=collection,
            state=row.state,
            attempts=row.attempts,
            stage=row.stage,
            progress=row.progress,
            message=row.message,
            options=(
                JobOptions.model_validate(row.options) if row.kind == RETRAINING else row.options
            ),
            metrics=row.metrics,
            baseline_bundle_id=row.baseline_bundle_id,
            bundle_id=row.bundle_id,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
        )


class JobList(BaseModel):
    """Jobs, the newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"jobs": [_JOB]}]})

    jobs: list[JobOut]
