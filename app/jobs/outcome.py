"""How a job ends, and what ends it before its time."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from app.jobs.repository import FinalState

STOPPED = "The service was stopped while it ran; start another retraining."


class JobCancelled(Exception):
    """Somebody has asked for the job's end."""


class JobLost(Exception):
    """Others have ended the job, or have begun it anew: they found nobody who held its lock."""


class JobFailed(Exception):
    """The job can't go on; the message is for people."""


class Outcome(NamedTuple):
    """How a job has ended."""

    state: FinalState
    message: str
    fields: Mapping[str, Any] = MappingProxyType({})
    """More columns of its row."""
