"""What is stored sealed, for what purpose, and whose it is: one list for all that goes over it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import ColumnElement, Table, inspect, select
from sqlalchemy.orm import InstrumentedAttribute

from app.tables import (
    FeedbackRow,
    IdempotencyRow,
    JobItemRow,
    NextTemplateRow,
    PictureRow,
    SampleRow,
    SecretRow,
    UploadRow,
    VariantRow,
)

SAMPLE = "sample"
VARIANT = "variant"
FEEDBACK = "feedback"
PICTURE = "picture"
JOB_ITEM = "job_item"
UPLOAD = "upload"
ANSWER = "answer"
SECRET = "secret"  # noqa: S105  (a purpose, no password)

_NAMES = UUID("5f0c4b0a-6f0e-4d8f-9a7e-0d5b3c1e2a64")
"""Makes ids of names: what is no subject's or sample's has none."""


@dataclass(frozen=True)
class SealedColumn:
    """A column whose contents are sealed, by `Vault.seal`."""

    content: InstrumentedAttribute[Any]
    bound_by: Sequence[Any]
    """Columns that say for what, and whose."""
    binding: Callable[..., tuple[str, UUID]]
    """Gives purpose and owner of the values of `bound_by`."""
    rows_at_once: int = 1000
    """In a portion that is sealed anew in one transaction."""

    @property
    def table(self) -> Table:
        """That it is in."""
        table: Table = self.content.parent.local_table  # type: ignore[assignment]
        return table

    @property
    def key(self) -> tuple[ColumnElement[Any], ...]:
        """The table's primary key."""
        return tuple(inspect(self.content.class_).primary_key)

    @property
    def data_key_id(self) -> ColumnElement[int | None]:
        """Id of the data key that each content is sealed with."""
        return self.table.c.data_key_id


def answer_owner(key_id: str, idempotency_key: str) -> UUID:
    """Whose the answer to a write with an `Idempotency-Key` is: that of an API key's own call."""
    return uuid5(_NAMES, f"{key_id}/{idempotency_key}")


def secret_owner(name: str) -> UUID:
    """Whose a secret of the service is: its name's."""
    return uuid5(_NAMES, name)


def _next_template(kind: str | None, sample_id: UUID, subject_id: UUID) -> tuple[str, UUID]:
    # As it will be when it takes the place of the sample's or the variant's own.
    return (SAMPLE, subject_id) if kind is None else (VARIANT, sample_id)


_SUBJECT_OF_NEXT = (
    select(SampleRow.subject_id).where(SampleRow.id == NextTemplateRow.sample_id).scalar_subquery()
)

SAMPLES = SealedColumn(
    SampleRow.template, [SampleRow.subject_id], lambda subject: (SAMPLE, subject)
)
VARIANTS = SealedColumn(
    VariantRow.template, [VariantRow.sample_id], lambda sample: (VARIANT, sample)
)
FEEDBACKS = SealedColumn(
    FeedbackRow.template, [FeedbackRow.subject_id], lambda subject: (FEEDBACK, subject)
)
SECRETS = SealedColumn(SecretRow.value, [SecretRow.name], lambda name: (SECRET, secret_owner(name)))

TEMPLATES = (SAMPLES, VARIANTS, FEEDBACKS)
"""Were stored as they are before there was a vault."""

ALL_SEALED = (
    *TEMPLATES,
    SECRETS,
    SealedColumn(
        PictureRow.content,
        [PictureRow.sample_id],
        lambda sample: (PICTURE, sample),
        rows_at_once=16,
    ),
    SealedColumn(
        NextTemplateRow.template,
        [NextTemplateRow.kind, NextTemplateRow.sample_id, _SUBJECT_OF_NEXT],
        _next_template,
    ),
    SealedColumn(JobItemRow.report, [JobItemRow.job_id], lambda job: (JOB_ITEM, job)),
    SealedColumn(UploadRow.content, [UploadRow.job_id], lambda job: (UPLOAD, job), rows_at_once=16),
    SealedColumn(
        IdempotencyRow.answer,
        [IdempotencyRow.key_id, IdempotencyRow.idempotency_key],
        lambda *key: (ANSWER, answer_owner(*key)),
    ),
)
