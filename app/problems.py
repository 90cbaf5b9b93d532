"""Every way a request can fail, as `application/problem+json` with a stable `code`.

Problem
├── what the caller is      MissingKey, InvalidKey, MissingScope, KeyInAddress, RateLimited
├── what the request is     InvalidRequest, MalformedRequest, RequestTooLarge, InvalidCursor, ...
├── what the picture is     EmptyImage, CorruptImage, NoFace, MultipleFaces, ...
├── what is stored          CollectionNotFound, SubjectNotFound, ExternalIdTaken, ...
└── what the service is     NotReady, Overloaded, InternalError

Each code is documented in docs/reference/problems.md; a test compares.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

MEDIA_TYPE = "application/problem+json"


class ProblemDocument(BaseModel):
    """RFC 9457, with the `code` that programs can rely on."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`urn:cohort:problem:` and the code.")
    title: str
    status: int
    detail: str = Field(description="What is wrong with this very request, for people.")
    code: str = Field(description="Stable, for programs; see docs/reference/problems.md.")
    request_id: str


class Problem(Exception):
    """A request that is answered with a problem document."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(
        self, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        """Say what is wrong.

        Args:
            detail: one sentence, free of personal data.
            headers: sent with the answer.
            extra: further members of the document.
        """
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra

    def document(self, request_id: str) -> dict[str, Any]:
        """Make the document that is sent."""
        return {
            "type": f"urn:cohort:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
            **self.extra,
        }


class MissingKey(Problem):
    status, code, title = 401, "missing_key", "This needs an API key"


class InvalidKey(Problem):
    status, code, title = 401, "invalid_key", "The API key is not valid"


class KeyInAddress(Problem):
    status, code, title = 400, "key_in_address", "A key must not be in an address"


class RateLimited(Problem):
    status, code, title = 429, "rate_limited", "Too many calls"


class MissingScope(Problem):
    status, code, title = 403, "missing_scope", "The API key may not do this"


class NotFound(Problem):
    status, code, title = 404, "not_found", "There is no such path"


class MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "The path has no such method"


class MalformedRequest(Problem):
    status, code, title = 400, "malformed_request", "The request can't be read"


class RequestTooLarge(Problem):
    status, code, title = 413, "request_too_large", "The request is too large"


class RequestTooSlow(Problem):
    status, code, title = 408, "request_too_slow", "The request came too slowly"


class UnsupportedEncoding(Problem):
    status, code, title = 415, "unsupported_encoding", "The body must not be compressed"


class InvalidRequest(Problem):
    status, code, title = 422, "invalid_request", "A field of the request is not valid"


class InvalidMetadata(Problem):
    status, code, title = 422, "invalid_metadata", "The metadata is not a JSON object"


class InvalidCursor(Problem):
    status, code, title = 422, "invalid_cursor", "The cursor is not one of this list"


class InvalidIdentification(Problem):
    status, code, title = 422, "invalid_identification", "The identification id can't be opened"


class FieldsNotAllowed(Problem):
    status, code, title = 422, "fields_not_allowed", "These fields exclude each other"


class IdempotencyKeyReused(Problem):
    status, code, title = 422, "idempotency_key_reused", "The key was sent with another request"


class TooManyImages(Problem):
    status, code, title = 422, "too_many_images", "The call has too many pictures"


class NoFaceEnrolled(Problem):
    status, code, title = 422, "no_face_enrolled", "None of the pictures could be enrolled"


class NoFace(Problem):
    status, code, title = 422, "no_face", "The picture shows no face"


class MultipleFaces(Problem):
    status, code, title = 422, "multiple_faces", "The picture shows several faces"


class CollectionNotFound(Problem):
    status, code, title = 404, "collection_not_found", "There is no such collection"


class SubjectNotFound(Problem):
    status, code, title = 404, "subject_not_found", "There is no such subject"


class SampleNotFound(Problem):
    status, code, title = 404, "sample_not_found", "The subject has no such sample"


class PictureNotFound(Problem):
    status, code, title = 404, "picture_not_found", "No picture of this sample is kept"


class FeedbackNotFound(Problem):
    status, code, title = 404, "feedback_not_found", "The subject has no such feedback"


class ErasureNotFound(Problem):
    status, code, title = 404, "erasure_not_found", "There is no such erasure"


class BundleNotFound(Problem):
    status, code, title = 404, "bundle_not_found", "There is no such bundle"


class JobNotFound(Problem):
    status, code, title = 404, "job_not_found", "There is no such job"


class CollectionExists(Problem):
    status, code, title = 409, "collection_exists", "The collection exists already"


class ExternalIdTaken(Problem):
    status, code, title = 409, "external_id_taken", "Another subject has this external_id"


class NoSamples(Problem):
    status, code, title = 409, "no_samples", "The subject has no samples to compare with"


class EmbedderMismatch(Problem):
    status, code, title = 409, "embedder_mismatch", "The collection belongs to another embedder"


class BundleActive(Problem):
    status, code, title = 409, "bundle_active", "The bundle is searched with"


class BundleDamaged(Problem):
    status, code, title = 409, "bundle_damaged", "The bundle's files are damaged or missing"


class JobFinished(Problem):
    status, code, title = 409, "job_finished", "The job is over"


class RetrainingRuns(Problem):
    status, code, title = 409, "retraining_runs", "The collection is being retrained"


class RequestInProgress(Problem):
    status, code, title = 409, "request_in_progress", "The same request is being answered"


class AnswerLost(Problem):
    status, code, title = 409, "answer_lost", "The request was carried out, its answer is gone"


class TooFewSubjects(Problem):
    status, code, title = 409, "too_few_subjects", "The collection is too small for a training"


class TrainingUnavailable(Problem):
    status, code, title = 503, "training_unavailable", "There is nothing here to train with"


class BundleUnavailable(Problem):
    status, code, title = 503, "bundle_unavailable", "The bundle can't be reached"


class EmbedderNotRunning(Problem):
    status, code, title = 422, "embedder_not_running", "No such embedder runs here"


class NotReady(Problem):
    status, code, title = 503, "not_ready", "The service is not ready"


class Behind(Problem):
    status, code, title = 503, "behind", "The replica has not seen this yet"


class DatabaseUnavailable(Problem):
    status, code, title = 503, "database_unavailable", "The database can't be reached"


class Overloaded(Problem):
    status, code, title = 503, "overloaded", "The service has too much to do"


class DeadlineExceeded(Problem):
    status, code, title = 503, "deadline_exceeded", "The request's turn did not come in time"


class AuditUnavailable(Problem):
    status, code, title = 503, "audit_unavailable", "The call can't be entered in the audit log"


class StorageUnavailable(Problem):
    status, code, title = 503, "storage_unavailable", "There is no room for the request"


class InternalError(Problem):
    status, code, title = 500, "internal_error", "Something went wrong inside the service"


class EmptyImage(Problem):
    status, code, title = 422, "empty_image", "The picture is empty"


class ImageTooLarge(Problem):
    status, code, title = 422, "image_too_large", "The picture has too many bytes"


class UnsupportedFormat(Problem):
    status, code, title = 422, "unsupported_format", "The picture's format is not supported"


class TooManyPixels(Problem):
    status, code, title = 422, "too_many_pixels", "The picture has too many pixels"


class ImageTooSmall(Problem):
    status, code, title = 422, "image_too_small", "The picture has too few pixels"


class CorruptImage(Problem):
    status, code, title = 422, "corrupt_image", "The picture is damaged"


class UnsupportedArchive(Problem):
    status, code, title = 422, "unsupported_archive", "The upload is no archive that can be read"


class CorruptArchive(Problem):
    status, code, title = 422, "corrupt_archive", "The archive is damaged"


class UnsafeArchive(Problem):
    status, code, title = 422, "unsafe_archive", "The archive holds what is not taken"


class TooManyEntries(Problem):
    status, code, title = 422, "too_many_entries", "The batch has too many entries"


class EmptyBatch(Problem):
    status, code, title = 422, "empty_batch", "The batch holds no pictures"


IMAGE_PROBLEMS: Mapping[str, type[Problem]] = {
    problem.code: problem
    for problem in (
        EmptyImage,
        ImageTooLarge,
        UnsupportedFormat,
        TooManyPixels,
        ImageTooSmall,
        CorruptImage,
    )
}
"""What `models.decode` refuses, by its code."""


def problems(*classes: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Describe a route's errors for OpenAPI, one example a code.

    Those that any route can have are added by app/openapi.py.
    """
    responses: dict[int | str, dict[str, Any]] = {}
    for problem in classes:
        response = responses.setdefault(
            problem.status,
            {
                "model": ProblemDocument,
                "description": "",
                "content": {MEDIA_TYPE: {"examples": {}}},
            },
        )
        response["content"][MEDIA_TYPE]["examples"][problem.code] = {
            "summary": problem.title,
            "value": problem(f"{problem.title}.").document("01990b1c5a3c7d5e8f6a0b1c2d3e4f50"),
        }
        examples = response["content"][MEDIA_TYPE]["examples"]
        response["description"] = describe_codes(examples)
    return responses


def describe_codes(codes: Iterable[str]) -> str:
    """List the codes of one status."""
    return ", ".join(f"`{code}`" for code in codes)
