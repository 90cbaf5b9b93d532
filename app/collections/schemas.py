"""Collections as the API shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

DEFAULT_COLLECTION = "default"

CollectionName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", strict=True)
]


_COLLECTION: dict[str, JsonValue] = {
    "name": "default",
    "embedder": {"name": "mobilefacenet-192", "sha256": "0f3a" * 16},
    "subject_count": 120,
    "sample_count": 361,
    "revision": 140,
    "gallery": {"revision": 140, "subject_count": 120},
    "created_at": "2026-01-20T12:00:00.123456Z",
}


class NewCollection(BaseModel):
    """A collection to be made."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "staff"}]})

    name: CollectionName = Field(
        description="Lower-case letters, digits, `_` and `-`; at most 63 characters."
    )


class EmbedderOut(BaseModel):
    """Which net a collection's templates come from."""

    name: str
    sha256: str = Field(description="Of the net's file: the same name with other weights differs.")


class LiveGalleryOut(BaseModel):
    """What this process searches."""

    revision: int = Field(description="Last change that searches see.")
    subject_count: int = Field(description="Subjects that searches can find.")


class CollectionOut(BaseModel):
    """A collection."""

    model_config = ConfigDict(json_schema_extra={"examples": [_COLLECTION]})

    name: str
    embedder: EmbedderOut
    subject_count: int
    sample_count: int
    revision: int = Field(description="Last change that is stored; each write adds one.")
    gallery: LiveGalleryOut | None = Field(
        description="Null while this process has not yet taken the collection up."
    )
    created_at: datetime


class CollectionList(BaseModel):
    """All collections, by name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"collections": [_COLLECTION]}]})

    collections: list[CollectionOut]
