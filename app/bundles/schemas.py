"""Bundles as the API shows them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

_FIGURES: dict[str, JsonValue] = {"rank1": 0.987, "fnir_at_fpir_0_01": 0.031}

METRICS: dict[str, JsonValue] = {
    "comparison": {
        "probes": 412,
        "new": _FIGURES,
        "active": _FIGURES,
        "baseline": "class means",
    },
    "subnets": {
        "total": 4,
        "trained": [0, 1, 2, 3],
        "kept": 0,
        "extended": 0,
        "reasons": {},
        "full": True,
        "why": "there was no bundle before",
    },
    "seconds": {"read": 0.4, "subnets": 31.0, "evaluate": 6.2},
}
"""An example of what a training measured."""

BUNDLE_ID = "8c1e" * 16

_BUNDLE: dict[str, JsonValue] = {
    "bundle_id": BUNDLE_ID,
    "collection": "default",
    "active": True,
    "watermark": 140,
    "classes": 120,
    "subnets": 4,
    "erased_subjects": 0,
    "metrics": METRICS,
    "job_id": "0b9c2f2e-3c55-4a0e-9c76-6f1f4b8f6a10",
    "created_at": "2026-01-20T12:05:00.123456Z",
    "activated_at": "2026-01-20T12:05:00.123456Z",
}


class BundleOut(BaseModel):
    """A published bundle."""

    bundle_id: str = Field(description="SHA-256 of its contents; answers name it.")
    collection: str
    active: bool = Field(description="The collection is searched with it.")
    watermark: int = Field(description="Revision of the collection that it was trained on.")
    classes: int = Field(description="Subjects that it was trained with.")
    subnets: int
    erased_subjects: int = Field(
        description="Subjects deleted since, whose traces are still in its weights. They are "
        "never answered; a retraining removes the traces."
    )
    metrics: dict[str, Any] = Field(description="What its training measured.")
    job_id: UUID | None = Field(description="The retraining that made it.")
    created_at: datetime
    activated_at: datetime | None


class BundleWithManifest(BundleOut):
    """A published bundle and its manifest."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [_BUNDLE | {"manifest": {"format": 2, "id": BUNDLE_ID, "dimension": 192}}]
        }
    )

    manifest: dict[str, Any] | None = Field(
        description="As it lies on disk, with the SHA-256 of each file; null if it can't be read."
    )


class BundleList(BaseModel):
    """Bundles, the newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"bundles": [_BUNDLE]}]})

    bundles: list[BundleOut]
