"""Collections as the API shows them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool, StringConstraints

from app.json_numbers import WHOLE

DEFAULT_COLLECTION = "default"

CollectionName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", strict=True)
]

Days = Annotated[int, Field(ge=1, le=36_500, strict=True), WHOLE]
"""Up to a hundred years: Postgres can take them off any date."""

_KEEP_PICTURES = "Whether the pictures of samples that are enrolled from now on are kept, sealed."
_PICTURE_DAYS = "Days after which a kept picture is deleted; null: with its sample."
_SUBJECT_DAYS = "Days after its last enrolment when a subject is erased; null: never of itself."

_COLLECTION: dict[str, JsonValue] = {
    "name": "default",
    "embedder": {"name": "mobilefacenet-192", "sha256": "0f3a" * 16},
    "subject_count": 120,
    "sample_count": 361,
    "picture_count": 0,
    "keep_pictures": False,
    "picture_days": None,
    "subject_days": None,
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
    embedder: str | None = Field(
        None, description="Name of one that runs, see `/version`; null: the default one."
    )
    keep_pictures: StrictBool = Field(False, description=_KEEP_PICTURES)
    picture_days: Days | None = Field(None, description=_PICTURE_DAYS)
    subject_days: Days | None = Field(None, description=_SUBJECT_DAYS)


class CollectionChange(BaseModel):
    """What to change; a field that is not sent stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"keep_pictures": True, "picture_days": 90}]},
    )

    keep_pictures: StrictBool = Field(
        False, description=f"{_KEEP_PICTURES} Those that are kept stay when this is turned off."
    )
    picture_days: Days | None = Field(None, description=_PICTURE_DAYS)
    subject_days: Days | None = Field(None, description=_SUBJECT_DAYS)


class NewPlace(BaseModel):
    """With which collection another one exchanges its name."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"with": "staff-2027"}]}
    )

    with_: str = Field(alias="with", max_length=63, description="Name of the other collection.")


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
    picture_count: int = Field(description="Samples whose pictures are kept.")
    keep_pictures: bool = Field(description=_KEEP_PICTURES)
    picture_days: int | None = Field(description=_PICTURE_DAYS)
    subject_days: int | None = Field(description=_SUBJECT_DAYS)
    revision: int = Field(description="Last change that is stored; each write adds one.")
    gallery: LiveGalleryOut | None = Field(
        description="Null while this process has not yet taken the collection up."
    )
    created_at: datetime


class CollectionList(BaseModel):
    """All collections, by name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"collections": [_COLLECTION]}]})

    collections: list[CollectionOut]
