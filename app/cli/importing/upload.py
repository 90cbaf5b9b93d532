"""Send one subject's pictures and say what became of each."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.cli.client import Client, Refusal
from app.cli.importing.journal import Entry, FileState, Status
from app.cli.importing.sources import Subject

PICTURES_A_CALL = 20
"""What one call of the service takes."""

DUPLICATE = "duplicate_picture"
TOO_LARGE = "request_too_large"


@dataclass(frozen=True)
class Target:
    """Where the pictures go; `fields` are form fields that every call carries."""

    client: Client
    collection: str
    fields: dict[str, str]


@dataclass(frozen=True)
class _File:
    path: str
    state: FileState
    content: bytes


def upload(
    target: Target,
    subject: Subject,
    files: Sequence[str],
    *,
    root: Path,
    record: Callable[[Sequence[Entry]], None],
) -> None:
    """Enrol `files` as pictures of `subject`.

    Args:
        target: the service and the collection.
        subject: whose pictures they are; created by the first call, if there is no such subject.
        files: paths relative to `root`.
        root: the folder of the import.
        record: gets the entries of each call as soon as it is answered.

    Raises:
        Failure: the service can't be used; what was answered before is recorded.
    """
    subject_id: str | None = None
    for start in range(0, len(files), PICTURES_A_CALL):
        loaded: list[_File] = []
        for path in files[start : start + PICTURES_A_CALL]:
            state = FileState.of(root / path)
            try:
                content = (root / path).read_bytes()
            except OSError as error:
                unread = _File(path, state, b"")
                record([_entry(subject, unread, "unreadable_file", error.strerror or "", None)])
            else:
                loaded.append(_File(path, state, content))
        if loaded:
            subject_id = _enroll(target, subject, subject_id, loaded, record)


def _enroll(
    target: Target,
    subject: Subject,
    subject_id: str | None,
    files: Sequence[_File],
    record: Callable[[Sequence[Entry]], None],
) -> str | None:
    """Make one call, and others where the external_id is taken or the call is too large.

    Returns:
        The subject's id; None while there is no such subject.
    """
    if subject_id is None:
        whose = {"external_id": subject.external_id, "name": subject.name}
        if subject.metadata:
            whose["metadata"] = json.dumps(subject.metadata)
    else:
        whose = {"subject_id": subject_id}
    pictures = [(Path(file.path).name, file.content) for file in files]
    try:
        answer = target.client.enroll(
            pictures, collection=target.collection, **whose, **target.fields
        )
    except Refusal as refusal:
        if refusal.code == "external_id_taken" and subject_id is None:
            return _enroll(target, subject, str(refusal.body["subject_id"]), files, record)
        if refusal.code == TOO_LARGE and len(files) > 1:
            # Too large together, which says nothing about each of them.
            half = len(files) // 2
            subject_id = _enroll(target, subject, subject_id, files[:half], record)
            return _enroll(target, subject, subject_id, files[half:], record)
        record(_refused(target, subject, files, refusal))
        return subject_id
    rejected = _rejections(target, subject, files, answer["rejected"])
    record([_entry(subject, files[item["index"]]) for item in answer["accepted"]] + rejected)
    return str(answer["subject"]["subject_id"])


def _refused(
    target: Target, subject: Subject, files: Sequence[_File], refusal: Refusal
) -> list[Entry]:
    if "rejected" in refusal.body:
        return _rejections(target, subject, files, refusal.body["rejected"])
    # What else refuses a call is not about its pictures (a name that is too long, say).
    fields = target.fields if refusal.code == TOO_LARGE else None
    return [_entry(subject, file, refusal.code, refusal.detail, fields) for file in files]


def _rejections(
    target: Target, subject: Subject, files: Sequence[_File], rejected: Sequence[dict[str, Any]]
) -> list[Entry]:
    return [
        _entry(
            subject, files[item["index"]], str(item["reason"]), str(item["detail"]), target.fields
        )
        for item in rejected
    ]


def _entry(
    subject: Subject,
    file: _File,
    reason: str = "",
    detail: str = "",
    fields: dict[str, str] | None = None,
) -> Entry:
    status: Status = "enrolled"
    if reason:
        status = "already_there" if reason == DUPLICATE else "rejected"
    return Entry(
        path=file.path,
        size_bytes=file.state.size_bytes,
        modified_ns=file.state.modified_ns,
        external_id=subject.external_id,
        status=status,
        reason=reason,
        detail=detail,
        fields=fields,
    )
