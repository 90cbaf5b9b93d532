"""The OpenAPI document, with what FastAPI can't be told route by route."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.problems import MEDIA_TYPE


def describe(app: FastAPI) -> dict[str, Any]:
    """Make the document; the same one every time it is asked for."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            tags=app.openapi_tags,
            routes=app.routes,
        )
        for response in _responses(document):
            content = response.get("content", {})
            # FastAPI describes the model of an error as application/json, whatever is said.
            if MEDIA_TYPE in content:
                content[MEDIA_TYPE] = content.pop("application/json") | content[MEDIA_TYPE]
        app.openapi_schema = document
    return app.openapi_schema


def _responses(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        for operation in operations.values():
            yield from operation["responses"].values()
