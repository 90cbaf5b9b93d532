"""Subjects and enrolments as the API shows them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.identify.schemas import Box, QualityOut
from app.problems import ProblemDocument
from app.subjects.metadata import ConsentReference, SubjectText

_SUBJECT: dict[str, JsonValue] = {
    "subject_id": "5e0f8d0a-7a57-4f0e-9d3b-3b8a3f8f6f50",
    "external_id": "p-44",
    "name": "Barack Obama",
    "metadata": {"office": 44},
    "consent_reference": "contract 2026-0117, section 4",
    "collection": "default",
    "sample_count": 1,
    "created_at": "2026-01-20T12:00:00.123456Z",
}


class SubjectOut(BaseModel):
    """A person in a collection."""

    subject_id: UUID
    external_id: str | None = Field(description="Your own id; unique in the collection.")
    name: str | None
    metadata: dict[str, Any] = Field(description="Yours; given back as it is.")
    consent_reference: str | None = Field(
        description="Where the subject's consent is on file, in your own words."
    )
    collection: str
    sample_count: int
    created_at: datetime


class SampleOut(BaseModel):
    """An enrolled face."""

    sample_id: UUID
    quality: QualityOut
    created_at: datetime
    picture_kept: bool = Field(description="Whether `.../samples/{sample_id}/picture` gives it.")


class SubjectWithSamples(SubjectOut):
    """A person and the enrolled faces, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _SUBJECT
                | {
                    "samples": [
                        {
                            "sample_id": "0b7e64a3-5a0c-49d8-8a60-8a4f2c6dd0ab",
                            "quality": {"score": 0.93, "reasons": []},
                            "created_at": "2026-01-20T12:00:00.123456Z",
                            "picture_kept": False,
                        }
                    ]
                }
            ]
        }
    )

    samples: list[SampleOut]


class SubjectPage(BaseModel):
    """Some subjects of a collection, oldest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"subjects": [_SUBJECT], "next_cursor": None}]}
    )

    subjects: list[SubjectOut]
    next_cursor: str | None = Field(description="Send it as `cursor` for more; null at the end.")


class SubjectChange(BaseModel):
    """What to change; a field that is not sent stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "B. Obama", "metadata": {"office": 44}}]},
    )

    name: SubjectText | None = Field(None, description="Null takes it away.")
    external_id: SubjectText | None = Field(None, description="Null takes it away.")
    metadata: dict[str, Any] | None = Field(
        None, description="Replaces all of it; null empties it."
    )
    consent_reference: ConsentReference | None = Field(None, description="Null takes it away.")


class AcceptedImage(BaseModel):
    """A picture that became a sample."""

    index: int = Field(description="Position of the picture in the call, from 0.")
    filename: str | None
    sample_id: UUID
    box: Box
    quality: QualityOut


class RejectedImage(BaseModel):
    """A picture that did not, and why."""

    index: int
    filename: str | None
    reason: str = Field(description="A code; docs/reference/problems.md lists them.")
    detail: str


class ConflictingImage(RejectedImage):
    """A picture whose face is another subject's."""

    conflicting_subject_id: UUID


class EnrolAnswer(BaseModel):
    """What became of an enrolment."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "subject": _SUBJECT,
                    "accepted": [
                        {
                            "index": 0,
                            "filename": "obama.jpg",
                            "sample_id": "0b7e64a3-5a0c-49d8-8a60-8a4f2c6dd0ab",
                            "box": {"x": 71.4, "y": 68.9, "width": 104.2, "height": 130.8},
                            "quality": {"score": 0.93, "reasons": []},
                        }
                    ],
                    "rejected": [
                        {
                            "index": 1,
                            "filename": "cat.jpg",
                            "reason": "no_face",
                            "detail": "The picture shows no face.",
                        }
                    ],
                    "revision": 1,
                    "request_id": "01990b1c5a3c7d5e8f6a0b1c2d3e4f50",
                }
            ]
        }
    )

    subject: SubjectOut
    accepted: list[AcceptedImage]
    rejected: list[ConflictingImage | RejectedImage]
    revision: int = Field(description="The collection's revision that has this enrolment.")
    request_id: str


class EnrolProblem(ProblemDocument):
    """Why an enrolment was refused."""

    rejected: list[ConflictingImage | RejectedImage] = Field(
        default_factory=list,
        description="Why each picture was rejected; with `no_face_enrolled` only.",
    )


class VerifyAnswer(BaseModel):
    """Whether two faces are of one person."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "match": True,
                    "score": 0.7421,
                    "threshold": 0.4012,
                    "max_fmr": 0.001,
                    "embedder": "mobilefacenet-192",
                    "request_id": "01990b1c5a3c7d5e8f6a0b1c2d3e4f50",
                }
            ]
        }
    )

    match: bool = Field(description="Whether the score reaches the threshold.")
    score: float = Field(description="Likeness, a cosine in [-1, 1]; higher is more alike.")
    threshold: float
    max_fmr: float = Field(description="Share of pairs of strangers that reach the threshold.")
    embedder: str
    request_id: str
