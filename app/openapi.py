"""The OpenAPI document, with what FastAPI can't be told route by route."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.edge.deadline import HEADER as TIMEOUT
from app.idempotency.middleware import HEADER as IDEMPOTENCY_KEY
from app.idempotency.middleware import ONLY_LOOK, WRITES
from app.problems import (
    MEDIA_TYPE,
    AnswerLost,
    DatabaseUnavailable,
    DeadlineExceeded,
    IdempotencyKeyReused,
    InternalError,
    InvalidRequest,
    KeyInAddress,
    MalformedRequest,
    Overloaded,
    Problem,
    ProblemDocument,
    RateLimited,
    RequestInProgress,
    RequestTooLarge,
    RequestTooSlow,
    UnsupportedEncoding,
    describe_codes,
    problems,
)

_IDEMPOTENCY_KEY = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "required": False,
    "description": "Yours, new for each write: sent again with the same request, it gets the same "
    "answer, with `Idempotency-Replayed: true`, and nothing is done twice.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_TIMEOUT = {
    "name": TIMEOUT,
    "in": "header",
    "required": False,
    "description": "Seconds that this may wait for its turn; COHORT_REQUEST_DEADLINE_S at most.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
FORM = "multipart/form-data"
_IS_FILE = {"contentMediaType": "application/octet-stream"}
_PICTURES = "image/jpeg, image/png, image/webp"
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
        for path, method, operation in _operations(document):
            for parameter in operation.get("parameters", []):
                _take_null_out(parameter["schema"])
            _describe_form(operation, document["components"]["schemas"])
            for response in operation["responses"].values():
                content = response.get("content", {})
                # FastAPI describes an error's model under the media type of the route's own
                # answers, whatever is said.
                if MEDIA_TYPE in content:
                    (own,) = content.keys() - {MEDIA_TYPE}
                    content[MEDIA_TYPE] = content.pop(own) | content[MEDIA_TYPE]
            common = _common_problems(operation)
            if method.upper() in WRITES and path not in ONLY_LOOK:
                _add_parameter(operation, _IDEMPOTENCY_KEY)
                common += [InvalidRequest, IdempotencyKeyReused, RequestInProgress, AnswerLost]
            if Overloaded.code in _codes(operation, Overloaded.status):
                _add_parameter(operation, _TIMEOUT)
                common += [InvalidRequest, DeadlineExceeded]
            _add_problems(operation, common)
        app.openapi_schema = document
    return app.openapi_schema


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def _describe_form(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Say what FastAPI doesn't of a form: its files are pictures."""
    form = operation.get("requestBody", {}).get("content", {}).get(FORM)
    if form is None:
        return
    reference = form["schema"].get("$ref", "").rpartition("/")[2]
    fields = schemas.get(reference, form["schema"])["properties"]
    for field in fields.values():
        _take_null_out(field)
    encodings = {
        name: {"contentType": _PICTURES}
        for name, field in fields.items()
        if _IS_FILE.items() <= field.items()
    }
    if encodings:
        form["encoding"] = encodings


def _take_null_out(schema: dict[str, Any]) -> None:
    """What is no JSON is there or not; it can't be null, as a parameter's type in Python can."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema |= kinds[0]


def _add_parameter(operation: dict[str, Any], parameter: dict[str, Any]) -> None:
    operation.setdefault("parameters", []).append(parameter)


def _codes(operation: dict[str, Any], status: int) -> set[str]:
    """Codes of the problems of one status that are declared already."""
    response = operation["responses"].get(str(status), {})
    return set(response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}))


def _common_problems(operation: dict[str, Any]) -> list[type[Problem]]:
    """List what is answered before a route comes to its turn, or whatever it does."""
    common: list[type[Problem]] = [
        RequestTooSlow,
        RequestTooLarge,
        UnsupportedEncoding,
        InternalError,
    ]
    if "requestBody" in operation:
        common.append(MalformedRequest)
    if "security" in operation:  # keys are kept in the database
        common.append(DatabaseUnavailable)
        common += [KeyInAddress, RateLimited]
    return common


def _add_problems(operation: dict[str, Any], classes: list[type[Problem]]) -> None:
    for status, described in problems(*classes).items():
        examples = described["content"][MEDIA_TYPE]["examples"]
        response = operation["responses"].setdefault(
            str(status), {"content": {MEDIA_TYPE: {"schema": _PROBLEM, "examples": {}}}}
        )
        merged = response["content"][MEDIA_TYPE]["examples"] | examples
        response["content"][MEDIA_TYPE]["examples"] = merged
        response["description"] = describe_codes(merged)
