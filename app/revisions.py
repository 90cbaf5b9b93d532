"""Read your writes at any replica: the revision that an answer names, and that a request asks for.

Whoever has written gets `Cohort-Revision`, and sends it as `Cohort-Min-Revision` to whichever
replica answers next. Routes whose answers name a revision depend on `naming_revision`; what they
call says which one with `name_revision`, where it comes to know it.
"""

from contextvars import ContextVar
from typing import Annotated, Any

from fastapi import Header, Response

REVISION = "Cohort-Revision"
MIN_REVISION = "Cohort-Min-Revision"
LARGEST = 2**63 - 1
"""As Postgres counts."""

MinRevision = Annotated[
    int | None,
    Header(
        alias=MIN_REVISION,
        ge=0,
        le=LARGEST,
        description="Answer with what the collection was at this revision or later: the "
        f"`revision`, or `{REVISION}`, of an earlier answer. A replica that has not seen it yet "
        "waits a moment, then answers 503 `behind`.",
    ),
]

_response: ContextVar[Response | None] = ContextVar("response", default=None)


async def naming_revision(response: Response) -> None:
    """Have the answer of this route name the revision that is found out while it is made."""
    _response.set(response)


def name_revision(revision: int) -> None:
    """Have the answer say that the collection was at a revision, or has it from now on."""
    response = _response.get()
    if response is not None:
        response.headers[REVISION] = str(revision)


def describe_revision(status: int) -> dict[int | str, dict[str, Any]]:
    """Describe an answer's `Cohort-Revision` for OpenAPI."""
    header = {
        "description": "The collection's revision that has what this answer says; send it as "
        f"`{MIN_REVISION}` to see no older state at any replica.",
        "schema": {"type": "integer"},
    }
    return {status: {"headers": {REVISION: header}}}
