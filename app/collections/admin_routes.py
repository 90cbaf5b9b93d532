"""Routes of the collections that change which one a name means."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.collections import switching
from app.collections.schemas import CollectionList, NewPlace
from app.deps import Admin, ServicesDep
from app.problems import (
    CollectionNotFound,
    FieldsNotAllowed,
    InvalidKey,
    InvalidRequest,
    MissingKey,
    MissingScope,
    problems,
)

router = APIRouter(
    prefix="/admin/collections",
    tags=["collections"],
    responses=problems(MissingKey, InvalidKey, MissingScope, InvalidRequest),
)


@router.post(
    "/{name}/switch",
    summary="Exchange the names of two collections",
    responses=problems(CollectionNotFound, FieldsNotAllowed),
)
async def switch_collections(
    _caller: Admin,
    services: ServicesDep,
    name: Annotated[str, Path(max_length=63, description="One of them.", examples=["default"])],
    place: NewPlace,
) -> CollectionList:
    """Exchange the names of two collections, at once. Scope `admin`.

    So a collection that was filled beside another one, such as with another embedder, takes its
    place: clients and keys that name it see nothing but other answers. The former one is found
    under the other's name, until you delete it. Requests under way finish where they began.
    """
    return await switching.switch(
        name=name,
        other=place.with_,
        database=services.database,
        galleries=services.galleries,
    )
