"""Kept pictures as the API tells of them."""

from pydantic import BaseModel, ConfigDict


class DeletedPictures(BaseModel):
    """How many kept pictures were deleted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"deleted": 361}]})

    deleted: int
