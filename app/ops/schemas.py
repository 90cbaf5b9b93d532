"""Answers of the operations' routes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.collections.schemas import EmbedderOut


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The service can do its work."""

    status: Literal["ready"] = "ready"
    database: Literal["reachable", "away"] = Field(
        description="`away`: searches are answered from memory, writes are 503."
    )


class Version(BaseModel):
    """What runs here."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "cohort",
                    "version": "0.1.0",
                    "embedder": "mobilefacenet-192",
                    "embedders": [{"name": "mobilefacenet-192", "sha256": "0f3a" * 16}],
                    "provider": "cpu",
                }
            ]
        }
    )

    name: str
    version: str
    embedder: str = Field(description="Of new collections.")
    embedders: list[EmbedderOut] = Field(description="All that run here.")
    provider: str
