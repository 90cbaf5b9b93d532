"""Turns what a route raises into problem documents."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from app import problems
from app.edge.methods import allowed
from app.problems import Problem
from app.temporary import storage_unavailable

MAX_LISTED_ERRORS = 20
"""A list of a thousand wrong fields would be answered with a thousand errors."""


def problem_response(problem: Problem, request_id: str) -> Response:
    """Make the answer of a problem."""
    return _ProblemAnswer(
        problem.code,
        problem.document(request_id),
        status_code=problem.status,
        headers=problem.headers,
        media_type=problems.MEDIA_TYPE,
    )


class _ProblemAnswer(JSONResponse):
    """Leaves its code in the request's state, for whoever counts or records outside."""

    def __init__(self, code: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._code = code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["problem"] = self._code
        await super().__call__(scope, receive, send)


def install_handlers(app: FastAPI) -> None:
    """Have every error answered with a problem document.

    What nobody expected is answered by `app.edge.context.RequestContext`, which sees it first.
    """
    app.add_exception_handler(Problem, _answer)
    app.add_exception_handler(RequestValidationError, _answer)
    app.add_exception_handler(HTTPException, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    return problem_response(_problem_of(error, request), request.state.request_id)


def _problem_of(error: Exception, request: Request) -> Problem:
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return _of_validation(error)
        case HTTPException(status_code=404):
            return problems.NotFound("No route has this path.")
        case HTTPException(status_code=405):
            return problems.MethodNotAllowed(
                "The path exists, but not for this method.",
                headers={"Allow": allowed(request.scope)},
            )
        # FastAPI's, of whatever has kept it from reading a body.
        case HTTPException(status_code=400, __cause__=OSError() as cause):
            return storage_unavailable(cause)
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
