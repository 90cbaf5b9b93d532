"""One entry of the audit log, as it goes into the table and into the spool."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4


@dataclass(frozen=True)
class Entry:
    """Who did what to whom. No name, external id, score, picture or template."""

    request_id: str
    key_id: str | None
    """None: the service did it of itself."""
    action: str
    """Name of the operation, as in the OpenAPI document."""
    collection_id: UUID | None
    subject_ids: tuple[UUID, ...]
    outcome: str
    status: int
    address: str | None
    id: UUID = field(default_factory=uuid4)
    """Written twice, it is in the table once."""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def document(self) -> dict[str, Any]:
        """Give the columns of the table, in JSON's types."""
        return asdict(self) | {
            "collection_id": self.collection_id and str(self.collection_id),
            "subject_ids": [str(each) for each in self.subject_ids],
            "id": str(self.id),
            "at": self.at.isoformat(),
        }

    def line(self) -> bytes:
        """Give it as a line of the spool."""
        return json.dumps(self.document(), separators=(",", ":")).encode() + b"\n"
