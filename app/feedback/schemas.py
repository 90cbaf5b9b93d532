"""Feedback as the API takes and shows it."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.feedback.repository import Verdict

_FEEDBACK: dict[str, JsonValue] = {
    "feedback_id": "3d7a1d7e-5f0c-4b52-9a55-0c1f5e3b9d21",
    "subject_id": "5e0f8d0a-7a57-4f0e-9d3b-3b8a3f8f6f50",
    "verdict": "rejected",
    "created_at": "2026-01-20T12:00:00.123456Z",
}


class NewFeedback(BaseModel):
    """What is said of an identification."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"identification_id": "AbC0dEf1GhI2...", "verdict": "rejected"}]
        },
    )

    identification_id: str = Field(
        max_length=16_384, description="Of a face in an answer of `/identify`, as it was."
    )
    verdict: Verdict = Field(description="Whether the face is this subject's.")


class FeedbackOut(BaseModel):
    """What was said of a subject."""

    model_config = ConfigDict(json_schema_extra={"examples": [_FEEDBACK]})

    feedback_id: UUID
    subject_id: UUID
    verdict: Verdict
    created_at: datetime


class FeedbackList(BaseModel):
    """All that was said of a subject, oldest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"feedback": [_FEEDBACK]}]})

    feedback: list[FeedbackOut]
