"""Audit entries as the API shows them."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.tables import AuditRow


class AuditEntry(BaseModel):
    """Who did what to whom, when, from where, and how it ended."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "entry_id": "0e9c55d8-3f0e-4d5a-9b5e-0d6b8a3a1c11",
                    "at": "2026-01-12T08:15:30.123456Z",
                    "request_id": "01990b1c5a3c7d5e8f6a0b1c2d3e4f50",
                    "key_id": "1a2b3c4d",
                    "action": "identify",
                    "collection_id": "9a4b7a5e-77c1-4d6e-8f0a-2b1c3d4e5f60",
                    "subject_ids": ["5e0f8d0a-7a57-4f0e-9d3b-3b8a3f8f6f50"],
                    "outcome": "match",
                    "status": 200,
                    "address": "10.0.3.17",
                }
            ]
        }
    )

    entry_id: UUID
    at: datetime
    request_id: str
    key_id: str | None = Field(description="Null: the service did it of itself.")
    action: str = Field(description="The operation's name in the OpenAPI document.")
    collection_id: UUID | None = Field(description="Null: it was about none.")
    subject_ids: list[UUID] = Field(
        description="Who was enrolled, changed, deleted or shown; on `identify` the `best` of each "
        "face, and both candidates of an `ambiguous` one."
    )
    outcome: str = Field(
        description="Such as `match`, `unknown`, `enrolled`, or the code of a problem."
    )
    status: int
    address: str | None = Field(description="Where the call came from.")

    @classmethod
    def of(cls, row: AuditRow) -> "AuditEntry":
        """Show a row."""
        return cls(
            entry_id=row.id,
            at=row.at,
            request_id=row.request_id,
            key_id=row.key_id,
            action=row.action,
            collection_id=row.collection_id,
            subject_ids=row.subject_ids,
            outcome=row.outcome,
            status=row.status,
            address=row.address,
        )


class AuditPage(BaseModel):
    """Some entries, the newest first."""

    entries: list[AuditEntry]
    next_cursor: str | None = Field(description="For the next page; null: this was the last.")
