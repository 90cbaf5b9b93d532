"""Routes of the kept pictures."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response

from app.deps import Admin, Enroller, ServicesDep
from app.pictures import service
from app.pictures.schemas import DeletedPictures
from app.problems import (
    CollectionNotFound,
    InvalidKey,
    InvalidRequest,
    MissingKey,
    MissingScope,
    PictureNotFound,
    problems,
)

router = APIRouter(responses=problems(MissingKey, InvalidKey, MissingScope))

_FORMATS = ("image/jpeg", "image/png", "image/webp")


@router.get(
    "/subjects/{subject_id}/samples/{sample_id}/picture",
    tags=["subjects"],
    summary="Give the kept picture of a sample",
    response_class=Response,
    responses=problems(PictureNotFound, InvalidRequest)
    | {
        200: {
            "description": "The picture, byte for byte as it was uploaded.",
            "content": {
                media_type: {"schema": {"type": "string", "format": "binary"}}
                for media_type in _FORMATS
            },
        }
    },
)
async def get_picture(
    _caller: Enroller,
    services: ServicesDep,
    subject_id: Annotated[UUID, Path(description="The subject's id.")],
    sample_id: Annotated[UUID, Path(description="The sample's id.")],
) -> Response:
    """Give the picture that a sample was enrolled with, if its collection keeps them.

    Scope `enroll`: who may only ask who somebody is sees no pictures.
    """
    picture = await service.get_picture(
        subject_id=subject_id,
        sample_id=sample_id,
        database=services.database,
        vault=services.vault,
    )
    return Response(
        picture.content,
        media_type=picture.media_type,
        # Somebody else's file: no cache keeps it, and no browser makes a page of it.
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": "attachment",
            "X-Content-Type-Options": "nosniff",
        },
    )


@router.delete(
    "/collections/{name}/pictures",
    tags=["collections"],
    summary="Delete the kept pictures of a collection",
    responses=problems(CollectionNotFound, InvalidRequest),
)
async def delete_pictures(
    _caller: Admin,
    services: ServicesDep,
    name: Annotated[
        str, Path(max_length=63, description="The collection's name.", examples=["default"])
    ],
) -> DeletedPictures:
    """Delete the kept pictures of all samples; the samples stay. Scope `admin`.

    Pictures that are enrolled afterwards are kept as before, unless `keep_pictures` is turned off.
    """
    return await service.delete_all(name=name, database=services.database)
