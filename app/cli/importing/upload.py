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
                record([_entry(subject, unread, "unreadable_file", error.strerror or "")])
            else:
                loaded.append(_File(path, state, content))
        if loaded:
            subject_id, entries = _enroll(target, subject, subject_id, loaded)
            record(entries)


def _enroll(
    target: Target, subject: Subject, subject_id: str | None, files: Sequence[_File]
) -> tuple[str | None, list[Entry]]:
    """Make one call, two where the external_id turns out to be taken."""
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
            return _enroll(target, subject, str(refusal.body["subject_id"]), files)
        return subject_id, _refused(subject, files, refusal)
    rejected = _rejections(subject, files, answer["rejected"])
    enrolled = [_entry(subject, files[item["index"]]) for item in answer["accepted"]]
    return str(answer["subject"]["subject_id"]), enrolled + rejected


def _refused(subject: Subject, files: Sequence[_File], refusal: Refusal) -> list[Entry]:
    if "rejected" in refusal.body:
        return _rejections(subject, files, refusal.body["rejected"])
    return [_entry(subject, file, refusal.code, refusal.detail) for file in files]


def _rejections(
    subject: Subject, files: Sequence[_File], rejected: Sequence[dict[str, Any]]
) -> list[Entry]:
    return [
        _entry(subject, files[item["index"]], str(item["reason"]), str(item["detail"]))
        for item in rejected
    ]


def _entry(subject: Subject, file: _File, reason: str = "", detail: str = "") -> Entry:
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
    )
