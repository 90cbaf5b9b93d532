"""The OpenAPI document, with what FastAPI can't be told route by route."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.problems import (
    MEDIA_TYPE,
    DatabaseUnavailable,
    InternalError,
    MalformedRequest,
    Problem,
    ProblemDocument,
    RequestTooLarge,
    describe_codes,
    problems,
)

_PROBLEM = {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}


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
        for operation in _operations(document):
            for response in operation["responses"].values():
                content = response.get("content", {})
                # FastAPI describes an error's model under the media type of the route's own
                # answers, whatever is said.
                if MEDIA_TYPE in content:
                    (own,) = content.keys() - {MEDIA_TYPE}
                    content[MEDIA_TYPE] = content.pop(own) | content[MEDIA_TYPE]
            _add_common_problems(operation)
        app.openapi_schema = document
    return app.openapi_schema


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        yield from operations.values()


def _add_common_problems(operation: dict[str, Any]) -> None:
    """Declare what is answered before a route comes to its turn, or whatever it does."""
    common: list[type[Problem]] = [RequestTooLarge, InternalError]
    if "requestBody" in operation:
        common.append(MalformedRequest)
    if "security" in operation:  # keys are kept in the database
        common.append(DatabaseUnavailable)
    for status, described in problems(*common).items():
        examples = described["content"][MEDIA_TYPE]["examples"]
        response = operation["responses"].setdefault(
            str(status), {"content": {MEDIA_TYPE: {"schema": _PROBLEM, "examples": {}}}}
        )
        merged = response["content"][MEDIA_TYPE]["examples"] | examples
        response["content"][MEDIA_TYPE]["examples"] = merged
        response["description"] = describe_codes(merged)
