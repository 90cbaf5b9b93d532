"""Answers of the operations' routes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The service can do its work."""

    status: Literal["ready"] = "ready"


class Version(BaseModel):
    """What runs here."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "cohort",
                    "version": "0.1.0",
                    "embedder": "mobilefacenet-192",
                    "provider": "cpu",
                }
            ]
        }
    )

    name: str
    version: str
    embedder: str
    provider: str
