"""Routes of the receipts of erasures."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query

from app.deps import Admin, ServicesDep
from app.erasures import service
from app.erasures.schemas import ErasureOut, ErasurePage
from app.problems import (
    CollectionNotFound,
    ErasureNotFound,
    InvalidCursor,
    InvalidKey,
    InvalidRequest,
    MissingKey,
    MissingScope,
    problems,
)

router = APIRouter(
    prefix="/admin/erasures",
    tags=["subjects"],
    responses=problems(MissingKey, InvalidKey, MissingScope),
)


@router.get(
    "",
    summary="List the receipts of erasures",
    responses=problems(CollectionNotFound, InvalidCursor, InvalidRequest),
)
async def list_erasures(
    _caller: Admin,
    services: ServicesDep,
    collection: Annotated[
        str | None,
        Query(description="Only those of this collection; else also of those that are gone."),
    ] = None,
    only_open: Annotated[
        bool, Query(alias="open", description="Only those that are not completed.")
    ] = False,
    limit: Annotated[int, Query(ge=1, le=1000, description="Receipts a page.")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=100, description="`next_cursor` of the page before.")
    ] = None,
) -> ErasurePage:
    """List who was erased, oldest first, a page at a time. Scope `admin`."""
    return await service.list_erasures(
        collection=collection,
        only_open=only_open,
        limit=limit,
        cursor=cursor,
        database=services.database,
        galleries=services.galleries,
    )


@router.get(
    "/{erasure_id}",
    summary="Show the receipt of an erasure",
    responses=problems(ErasureNotFound, InvalidRequest),
)
async def get_erasure(
    _caller: Admin,
    services: ServicesDep,
    erasure_id: Annotated[UUID, Path(description="As `DELETE /subjects/{subject_id}` gave it.")],
) -> ErasureOut:
    """Show what was removed of a subject, and which bundles were trained with it. Scope `admin`.

    From the deletion on the subject is found no more, not even by those bundles. The receipt is
    completed when the last of them has been deleted.
    """
    return await service.get_erasure(erasure_id=erasure_id, database=services.database)
