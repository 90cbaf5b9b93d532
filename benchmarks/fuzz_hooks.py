"""Loaded by schemathesis in its own process: what the service's OpenAPI document can't tell it.

A schema can say what a field looks like; not that a picture shows a face, that a cursor comes from
an earlier page, or that two fields exclude each other.
"""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import AcceptedNegativeData, Failure, ServerError
from schemathesis.openapi.checks import RejectedPositiveData

DATA = Path(__file__).parents[1] / "tests" / "data"
PICTURES = [(DATA / f"{name}.jpg").read_bytes() for name in ("obama", "biden", "cat")]

ABOUT_MEANING = 422
WELL_FORMED_BUT_WRONG = "invalid_request"
"""The one code of `ABOUT_MEANING` that a schema should have told beforehand."""
UNKNOWN_HEADER = "x-schemathesis-unknown-property"
"""Taken for a violation where a body is binary; any client sends headers that we don't know."""
BY_DESIGN = ("behind", "deadline_exceeded", "training_unavailable")
"""503 to who asks for a revision that is to come, gives no time, or trains where nothing can."""


def zipped() -> bytes:
    """An archive with a picture for each of two people."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("ada/one.jpg", PICTURES[0])
        archive.writestr("ben/one.jpg", PICTURES[1])
    return out.getvalue()


def tarred() -> bytes:
    """An archive with one picture."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("ada/one.jpg")
        entry.size = len(PICTURES[0])
        archive.addfile(entry, io.BytesIO(PICTURES[0]))
    return out.getvalue()


schemathesis.openapi.format("binary", st.sampled_from(PICTURES))
schemathesis.openapi.media_type("image/jpeg", st.sampled_from(PICTURES))
schemathesis.openapi.media_type("application/zip", st.just(zipped()))
schemathesis.openapi.media_type("application/x-tar", st.just(tarred()))


@schemathesis.hook
def filter_failure(
    context: object,  # noqa: ARG001  (the hook's signature)
    failure: Failure,
    case: schemathesis.Case,
    response: schemathesis.Response,
) -> bool:
    """Tell whether a failure is one: not if the service refuses what only it can judge."""
    if isinstance(failure, AcceptedNegativeData) and (
        UNKNOWN_HEADER in case.headers or _has_unfilled_field(case)
    ):
        return False
    try:
        code = response.json().get("code")
    except (json.JSONDecodeError, AttributeError):
        return True
    if isinstance(failure, RejectedPositiveData):
        return bool(response.status_code != ABOUT_MEANING or code == WELL_FORMED_BUT_WRONG)
    if isinstance(failure, ServerError):
        return code not in BY_DESIGN
    return True


def _has_unfilled_field(case: schemathesis.Case) -> bool:
    """Whether a form has a field that is empty, which counts as one that was not filled in."""
    is_form = (case.media_type or "").startswith("multipart/form-data")
    return is_form and isinstance(case.body, dict) and "" in case.body.values()
