"""Routes of the collections."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.collections import service
from app.collections.schemas import (
    CollectionChange,
    CollectionList,
    CollectionOut,
    NewCollection,
)
from app.deps import Admin, Reader, ServicesDep
from app.keys.caller import may_see
from app.problems import (
    CollectionExists,
    CollectionNotFound,
    EmbedderNotRunning,
    InvalidKey,
    InvalidRequest,
    MissingKey,
    MissingScope,
    problems,
)

router = APIRouter(
    prefix="/collections", tags=["collections"], responses=problems(MissingKey, InvalidKey)
)

Name = Annotated[
    str, Path(max_length=63, description="The collection's name.", examples=["default"])
]


@router.get("", summary="List the collections", responses=problems(MissingScope))
async def list_collections(_caller: Reader, services: ServicesDep) -> CollectionList:
    """List all collections by name, with what is in them. Scope `identify`."""
    return await service.list_collections(database=services.database, galleries=services.galleries)


@router.post(
    "",
    status_code=201,
    summary="Make a collection",
    responses=problems(MissingScope, CollectionExists, EmbedderNotRunning, InvalidRequest),
)
async def create_collection(
    caller: Admin, services: ServicesDep, new: NewCollection
) -> CollectionOut:
    """Make an empty collection, tied to an embedder that runs. Scope `admin`."""
    if not may_see(new.name):
        caller.require_all_collections()
    return await service.create_collection(
        new,
        database=services.database,
        galleries=services.galleries,
        embedders=services.embedders,
    )


@router.get(
    "/{name}",
    summary="Show a collection",
    responses=problems(MissingScope, CollectionNotFound, InvalidRequest),
)
async def get_collection(_caller: Reader, services: ServicesDep, name: Name) -> CollectionOut:
    """Show one collection: its embedder, how much is in it, and what is searched.

    Scope `identify`.
    """
    return await service.get_collection(
        name=name, database=services.database, galleries=services.galleries
    )


@router.patch(
    "/{name}",
    summary="Change a collection",
    responses=problems(MissingScope, CollectionNotFound, InvalidRequest),
)
async def update_collection(
    _caller: Admin, services: ServicesDep, name: Name, change: CollectionChange
) -> CollectionOut:
    """Change whether pictures are kept, and for how long pictures and subjects are. Scope `admin`.

    Turning `keep_pictures` off keeps no more from now on; `DELETE /collections/{name}/pictures`
    deletes those that are kept.
    """
    return await service.update_collection(
        name=name, change=change, database=services.database, galleries=services.galleries
    )


@router.delete(
    "/{name}",
    status_code=204,
    summary="Delete a collection",
    responses=problems(MissingScope, CollectionNotFound, InvalidRequest),
)
async def delete_collection(_caller: Admin, services: ServicesDep, name: Name) -> None:
    """Delete a collection with all its subjects and bundles. Scope `admin`.

    Once this is answered, nobody of it is found any more. Deleting `default` empties it: an empty
    one takes its place, tied to the default embedder.
    """
    await service.delete_collection(
        name=name,
        database=services.database,
        galleries=services.galleries,
        bundles=services.bundles,
        embedder=services.embedders.default.manifest,
    )
