"""Batches and their items as the API shows them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.collections.schemas import DEFAULT_COLLECTION
from app.identify.schemas import Box, QualityOut
from app.jobs.repository import StoredJob
from app.jobs.schemas import State
from app.subjects.pictures import Select
from app.subjects.schemas import AcceptedImage, ConflictingImage, RejectedImage
from models.decide import Decision

BatchKind = Literal["enrol_batch", "identify_batch"]
ENROL: BatchKind = "enrol_batch"
IDENTIFY: BatchKind = "identify_batch"

_BATCH: dict[str, JsonValue] = {
    "job_id": "5d0f4a54-70a4-4b0f-8f1e-0a4f8a1f2b11",
    "kind": "enrol_batch",
    "collection": "default",
    "state": "done",
    "message": "3 items, 1 of them failed.",
    "total": 3,
    "done": 3,
    "failed": 1,
    "created_at": "2026-01-20T12:04:00.123456Z",
    "started_at": "2026-01-20T12:04:00.223456Z",
    "finished_at": "2026-01-20T12:05:00.123456Z",
}


class EnrolOptions(BaseModel):
    """How a batch is enrolled."""

    model_config = ConfigDict(extra="forbid")

    collection: str = Field(DEFAULT_COLLECTION, description="Which collection.")
    select: Select | None = Field(
        None, description="Which face is meant where a picture shows several; without it, none is."
    )
    allow_conflict: bool = Field(
        False, description="Enrol faces that are taken for another subject, too."
    )


class IdentifyOptions(BaseModel):
    """How a batch is identified."""

    model_config = ConfigDict(extra="forbid")

    collection: str = Field(DEFAULT_COLLECTION, description="Which collection.")
    max_fpir: float | None = Field(
        None, ge=1e-5, le=0.5, description="As in `/identify`: of strangers, taken for somebody."
    )
    threshold: float | None = Field(
        None, ge=-1, le=1, description="The lowest score that is a match, instead of `max_fpir`."
    )


class BatchOut(BaseModel):
    """How far a batch is."""

    model_config = ConfigDict(json_schema_extra={"examples": [_BATCH]})

    job_id: UUID
    kind: BatchKind
    collection: str
    state: State = Field(description="`done`, `failed` and `cancelled` are final.")
    message: str = Field(description="What there is to say, for people.")
    total: int = Field(description="Items in the upload.")
    done: int = Field(description="Items that were worked on, those that failed among them.")
    failed: int = Field(description="Items of which nothing came: their reports have an `error`.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, stored: StoredJob, *, done: int, failed: int) -> "BatchOut":
        """Show a batch of whose items so many are done, and so many of these failed."""
        row = stored.row
        return cls.model_validate(
            {
                "job_id": row.id,
                "kind": row.kind,
                "collection": stored.collection,
                "state": row.state,
                "message": row.message,
                "total": row.options["total"],
                # What is deleted with a subject later was done all the same.
                "done": row.metrics.get("items", done),
                "failed": row.metrics.get("failed", failed),
                "created_at": row.created_at,
                "started_at": row.started_at,
                "finished_at": row.finished_at,
            }
        )


class ItemError(BaseModel):
    """Why nothing came of an item."""

    code: str = Field(description="As in a single call; docs/reference/problems.md lists them.")
    detail: str


class EnrolledItem(BaseModel):
    """What became of a person of the upload."""

    position: int = Field(description="In the upload, from 0.")
    id: str | None = Field(description="The folder's name, or the line's `external_id`.")
    subject_id: UUID | None
    accepted: list[AcceptedImage] = []
    rejected: list[ConflictingImage | RejectedImage] = []
    revision: int | None = Field(
        None, description="The collection's revision that has this enrolment."
    )
    error: ItemError | None = None


class TakenFor(BaseModel):
    """A subject that a face of a batch was taken for."""

    subject_id: UUID
    external_id: str | None
    name: str | None
    score: float


class BatchFace(BaseModel):
    """A face of a batch, and who it is."""

    box: Box
    detection_score: float
    quality: QualityOut
    decision: Decision
    probability: float | None
    best: TakenFor | None = Field(description="Null unless `decision` is `match`.")
    contenders: list[TakenFor] = Field(
        description="Those who are too alike, where `decision` is `ambiguous`."
    )


class IdentifiedItem(BaseModel):
    """Who is in a picture of the upload."""

    position: int = Field(description="In the upload, from 0.")
    id: str | None = Field(description="The picture's path in the archive, or the line's `id`.")
    faces: list[BatchFace] = []
    threshold: float | None = None
    bundle: str | None = None
    revision: int | None = None
    error: ItemError | None = None


Report = EnrolledItem | IdentifiedItem
REPORTS: dict[str, type[EnrolledItem] | type[IdentifiedItem]] = {
    ENROL: EnrolledItem,
    IDENTIFY: IdentifiedItem,
}


class BatchItems(BaseModel):
    """Some items of a batch that were worked on, in the upload's order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "position": 0,
                            "id": "p-44",
                            "subject_id": None,
                            "accepted": [],
                            "rejected": [],
                            "revision": None,
                            "error": {
                                "code": "no_face_enrolled",
                                "detail": "Every picture was rejected; `rejected` says why.",
                            },
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )

    items: list[Report]
    next_cursor: str | None = Field(description="Send it as `cursor` for more; null at the end.")


def options_schema(options: type[BaseModel]) -> dict[str, Any]:
    """Give the properties of the options, as OpenAPI describes a form's fields."""
    properties: dict[str, Any] = options.model_json_schema()["properties"]
    return properties
