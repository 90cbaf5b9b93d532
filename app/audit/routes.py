"""Routes of the audit log."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BeforeValidator

from app.audit import service
from app.audit.repository import Wanted
from app.audit.schemas import AuditPage
from app.deps import Admin, ServicesDep
from app.gallery.lookup import find_collection_id
from app.keys.caller import seen_collections
from app.problems import (
    CollectionNotFound,
    InvalidCursor,
    InvalidKey,
    InvalidRequest,
    MissingKey,
    MissingScope,
    problems,
)

router = APIRouter(
    prefix="/admin/audit",
    tags=["operations"],
    responses=problems(MissingKey, InvalidKey, MissingScope, CollectionNotFound, InvalidRequest),
)

NDJSON = "application/x-ndjson"

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "An entry a line, as JSON.",
        "content": {NDJSON: {"schema": {"type": "string"}}},
    }
}


def _refuse_numbers(value: str) -> str:
    """Seconds since 1970 would be read as a time, too."""
    if not value[4:5] == "-":
        raise ValueError("should be a time as RFC 3339 writes it")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_refuse_numbers)]


async def get_wanted(
    services: ServicesDep,
    collection: Annotated[
        str | None,
        Query(description="Only those of this collection; else also of those that are gone."),
    ] = None,
    subject_id: Annotated[UUID | None, Query(description="Only those about this subject.")] = None,
    key_id: Annotated[
        str | None,
        Query(max_length=100, pattern="^[!-~]*$", description="Only what was done with this key."),
    ] = None,
    action: Annotated[
        str | None,
        Query(
            max_length=100,
            pattern="^[!-~]*$",
            description="Only this operation, such as `identify`.",
        ),
    ] = None,
    since: Annotated[Moment | None, Query(description="Not before this moment.")] = None,
    until: Annotated[Moment | None, Query(description="Before this moment.")] = None,
) -> Wanted:
    """Read which entries are asked for; a key for some collections is shown no others' entries."""
    collection_ids = None
    if collection is not None:
        collection_ids = [await find_collection_id(services.galleries, collection)]
    elif (names := seen_collections()) is not None:
        collection_ids = [
            live.collection_id for live in services.galleries.all() if live.collection_name in names
        ]
    return Wanted(
        collection_ids=collection_ids,
        subject_id=subject_id,
        key_id=key_id,
        action=action,
        since=since,
        until=until,
    )


WantedDep = Annotated[Wanted, Depends(get_wanted)]


@router.get("", summary="List the audit log", responses=problems(InvalidCursor))
async def list_audit(
    _caller: Admin,
    services: ServicesDep,
    wanted: WantedDep,
    limit: Annotated[int, Query(ge=1, le=1000, description="Entries a page.")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=100, description="`next_cursor` of the page before.")
    ] = None,
) -> AuditPage:
    """List who did what to whom, the newest first, a page at a time. Scope `admin`."""
    return await service.list_entries(
        wanted=wanted, limit=limit, cursor=cursor, database=services.database
    )


@router.get(
    "/export",
    summary="Export the audit log",
    response_class=StreamingResponse,
    responses=_STREAM,
)
async def export_audit(
    _caller: Admin, services: ServicesDep, wanted: WantedDep
) -> StreamingResponse:
    """Give all entries, the newest first, an entry a line. Scope `admin`."""
    entries = service.export_entries(wanted=wanted, database=services.database)
    return StreamingResponse(entries, media_type=NDJSON)
