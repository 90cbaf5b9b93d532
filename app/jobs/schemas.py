"""Jobs as the API shows them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.bundles.schemas import BUNDLE_ID, METRICS
from app.collections.schemas import DEFAULT_COLLECTION
from app.tables import JobRow

State = Literal["queued", "running", "evaluating", "published", "rejected", "failed", "cancelled"]
FINAL_STATES = ("published", "rejected", "failed", "cancelled")

_OPTIONS: dict[str, JsonValue] = {
    "full": False,
    "target_size": None,
    "seed": None,
    "automatic": False,
}
_JOB: dict[str, JsonValue] = {
    "job_id": "0b9c2f2e-3c55-4a0e-9c76-6f1f4b8f6a10",
    "collection": "default",
    "state": "published",
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
    target_size: int | None = Field(
        None, ge=2, le=100_000, strict=True, description="Subjects a cluster; by default 2,500."
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        strict=True,
        description="Of all that is drawn; by default the active bundle's.",
    )


class JobOptions(BaseModel):
    """How a retraining was asked for."""

    full: bool
    target_size: int | None
    seed: int | None
    automatic: bool = Field(description="The service has started it by itself.")


class JobOut(BaseModel):
    """A retraining."""

    model_config = ConfigDict(json_schema_extra={"examples": [_JOB]})

    job_id: UUID
    collection: str
    state: State = Field(description="The last four are final.")
    stage: str | None = Field(description="What the training is at, or was at last.")
    progress: float = Field(ge=0, le=1, description="Of all stages together.")
    message: str = Field(description="What there is to say, for people.")
    options: JobOptions
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
            collection=collection,
            state=row.state,
            stage=row.stage,
            progress=row.progress,
            message=row.message,
            options=JobOptions.model_validate(row.options),
            metrics=row.metrics,
            baseline_bundle_id=row.baseline_bundle_id,
            bundle_id=row.bundle_id,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
        )


class JobList(BaseModel):
    """Retrainings, the newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"jobs": [_JOB]}]})

    jobs: list[JobOut]
