"""Receipts of erasures as the API shows them."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

_ERASURE: dict[str, JsonValue] = {
    "erasure_id": "7c1f5f0a-50b1-4a0e-8f0e-2d6a4be1c9d3",
    "subject_id": "5e0f8d0a-7a57-4f0e-9d3b-3b8a3f8f6f50",
    "collection_id": "a4c1d2f6-0f53-4e0c-b7a4-6a1f3c0d9e21",
    "removed": {"samples": 3, "variants": 9, "pictures": 0, "feedback": 1},
    "erased_at": "2026-01-20T12:00:00.123456Z",
    "bundles": [
        {
            "bundle_id": "9f2c4b7de0a1583c6e9b0d4f7a2c5e8b1d3f6a9c0e2b4d6f8a1c3e5b7d9f0a2c",
            "active": True,
            "cleared_at": None,
        }
    ],
    "completed_at": None,
}


class Removed(BaseModel):
    """How much was deleted at once."""

    samples: int
    variants: int = Field(description="Templates of degraded copies, kept for training.")
    pictures: int = Field(description="Kept pictures of the samples.")
    feedback: int


class TracedBundle(BaseModel):
    """A bundle that was trained with the subject. It can't be found with it any more."""

    bundle_id: str
    active: bool = Field(description="Whether its collection is searched with it now.")
    cleared_at: datetime | None = Field(
        description="Since when it is gone; null: it is there, or may be in a replica's cache."
    )


class ErasureOut(BaseModel):
    """The receipt of a deleted subject."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ERASURE]})

    erasure_id: UUID
    subject_id: UUID
    collection_id: UUID
    removed: Removed
    erased_at: datetime
    bundles: list[TracedBundle]
    completed_at: datetime | None = Field(
        description="Since when no bundle was trained with the subject; null while one is left, or "
        "while a training runs that had begun before."
    )


class ErasurePage(BaseModel):
    """Some receipts, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"erasures": [_ERASURE], "next_cursor": None}]}
    )

    erasures: list[ErasureOut]
    next_cursor: str | None = Field(description="Send it as `cursor` for more; null at the end.")
