"""Routes of the collections."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.collections import service
from app.collections.schemas import CollectionList, CollectionOut, NewCollection
from app.deps import Admin, Reader, ServicesDep
from app.problems import (
    CollectionExists,
    CollectionNotFound,
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
    responses=problems(MissingScope, CollectionExists, InvalidRequest),
)
async def create_collection(
    _caller: Admin, services: ServicesDep, new: NewCollection
) -> CollectionOut:
    """Make an empty collection, tied to the embedder that runs. Scope `admin`."""
    return await service.create_collection(
        name=new.name,
        database=services.database,
        galleries=services.galleries,
        embedder=services.path.embedder.manifest,
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


@router.delete(
    "/{name}",
    status_code=204,
    summary="Delete a collection",
    responses=problems(MissingScope, CollectionNotFound, InvalidRequest),
)
async def delete_collection(_caller: Admin, services: ServicesDep, name: Name) -> None:
    """Delete a collection with all its subjects and bundles. Scope `admin`.

    Once this is answered, nobody of it is found any more. Deleting `default` empties it: an empty
    one takes its place, tied to the embedder that runs.
    """
    await service.delete_collection(
        name=name,
        database=services.database,
        galleries=services.galleries,
        bundles=services.bundles,
        embedder=services.path.embedder.manifest,
    )
