"""Turns what a route raises into problem documents."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from app import problems
from app.problems import Problem

MAX_LISTED_ERRORS = 20
"""A list of a thousand wrong fields would be answered with a thousand errors."""


def problem_response(problem: Problem, request_id: str) -> Response:
    """Make the answer of a problem."""
    return JSONResponse(
        problem.document(request_id),
        status_code=problem.status,
        headers=problem.headers,
        media_type=problems.MEDIA_TYPE,
    )


def install_handlers(app: FastAPI) -> None:
    """Have every error answered with a problem document.

    What nobody expected is answered by `app.middleware.RequestContext`, which sees it first.
    """
    app.add_exception_handler(Problem, _answer)
    app.add_exception_handler(RequestValidationError, _answer)
    app.add_exception_handler(HTTPException, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    return problem_response(_problem_of(error), request.state.request_id)


def _problem_of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return _of_validation(error)
        case HTTPException(status_code=404):
            return problems.NotFound("No route has this path.")
        case HTTPException(status_code=405):
            return problems.MethodNotAllowed(
                "The path exists, but not for this method.", headers=error.headers
            )
        case HTTPException(status_code=400):
            return problems.MalformedRequest(str(error.detail))
        case _:
            raise error


def _of_validation(error: RequestValidationError) -> Problem:
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return problems.MalformedRequest("The body is not JSON.")
    listed = [_describe(each) for each in found[:MAX_LISTED_ERRORS]]
    first = listed[0]
    return problems.InvalidRequest(f"{first['field']}: {first['message']}.", errors=listed)


def _describe(error: Any) -> dict[str, str]:
    """Name the field and what it should be; never its value, which may be personal."""
    place, *path = (str(part) for part in error["loc"])
    return {"in": place, "field": ".".join(path) or place, "message": error["msg"]}
