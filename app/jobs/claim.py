"""Who has begun a job, and for the how manieth time: what publishes and ends it must still hold."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

RETRAINING = "retraining"
"""A kind of job; app/batches/ has the others."""


@dataclass(frozen=True)
class Claim:
    """A job that this process has begun.

    It holds until somebody finds that nobody has the job's lock, such as after this process's
    connection to the database was cut. All that is written of the job asks for it.
    """

    job_id: UUID
    collection_id: UUID
    kind: str
    key_id: str | None
    """Of the API key that asked for the job."""
    options: dict[str, Any]
    attempt: int
    """Counts from 1."""
