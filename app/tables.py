"""The tables: Postgres is the truth, everything in memory is made from them."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Table(DeclarativeBase):
    """Base of all tables. There are no relationships: a load that can't be seen can't be slow."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy reads it off the class)
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
        bytes: LargeBinary,
    }


def _data_key_of(content: str) -> Mapped[int | None]:
    """Id of the data key that a column was sealed with; NULL: it is not sealed.

    A foreign key: nothing can be stored under a data key that a rotation has just deleted, and
    none be deleted that is still needed.
    """
    return mapped_column(
        ForeignKey("data_keys.id"), Computed(f"sealed_with({content})", persisted=True), index=True
    )


class CollectionRow(Table):
    """A namespace of subjects, tied to the embedder whose templates it holds."""

    __tablename__ = "collections"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(unique=True)
    embedder_name: Mapped[str]
    embedder_sha256: Mapped[str]
    revision: Mapped[int] = mapped_column(BigInteger, default=0)
    """The last change. Raised as the last act of a transaction: the row's lock makes the order of
    revisions the order of commits, so whoever sees one sees all before it."""
    keep_pictures: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    picture_days: Mapped[int | None]
    """How long pictures are kept; NULL: as long as their samples."""
    subject_days: Mapped[int | None]
    """How long subjects are kept after their last sample was enrolled; NULL: until deleted."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class FormerNameRow(Table):
    """How far the feed had come of a collection that was deleted.

    Whichever has its name next goes on counting from there, so that a replica which still holds the
    old one is not taken for one that has seen enough of the new one.
    """

    __tablename__ = "former_names"

    name_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(BigInteger)


class SubjectRow(Table):
    """A person in a collection."""

    __tablename__ = "subjects"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    collection_id: Mapped[UUID] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    external_id: Mapped[str | None]
    name: Mapped[str | None]
    # `metadata` is SQLAlchemy's own attribute of a table class.
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    consent_reference: Mapped[str | None]
    """Where the subject's consent is on file, in the client's own words."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (
        UniqueConstraint("collection_id", "external_id"),
        Index(None, "collection_id", "created_at", "id"),
    )


# Serves a search by the beginning of a name, in capitals or not, in any locale.
Index(
    "ix_subjects_collection_id_lower_name",
    SubjectRow.collection_id,
    func.lower(SubjectRow.name).label("lower_name"),
    postgresql_ops={"lower_name": "text_pattern_ops"},
)


class SampleRow(Table):
    """One enrolled face: its template, not its picture."""

    __tablename__ = "samples"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"))
    template: Mapped[bytes]
    """Sealed (vault/); inside float32, little-endian, unit length, as many as the embedder has
    dimensions."""
    data_key_id: Mapped[int | None] = _data_key_of("template")
    picture_sha256: Mapped[bytes]
    """Of the uploaded bytes: the same picture again is known, so an import can be repeated."""
    quality_score: Mapped[float]
    quality_reasons: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (UniqueConstraint("subject_id", "picture_sha256"),)


class VariantRow(Table):
    """Template of a degraded copy of a sample's face: for training only, never searched."""

    __tablename__ = "variants"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    sample_id: Mapped[UUID] = mapped_column(
        ForeignKey("samples.id", ondelete="CASCADE"), index=True
    )
    kind: Mapped[str]
    template: Mapped[bytes]
    data_key_id: Mapped[int | None] = _data_key_of("template")


class PictureRow(Table):
    """The picture of a sample, sealed: only of collections that ask for it."""

    __tablename__ = "pictures"

    sample_id: Mapped[UUID] = mapped_column(
        ForeignKey("samples.id", ondelete="CASCADE"), primary_key=True
    )
    content: Mapped[bytes]
    """Sealed; inside the uploaded bytes as they came."""
    data_key_id: Mapped[int | None] = _data_key_of("content")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp(), index=True)


class NextTemplateRow(Table):
    """A template by the embedder that a collection is about to change to."""

    __tablename__ = "next_templates"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    sample_id: Mapped[UUID] = mapped_column(
        ForeignKey("samples.id", ondelete="CASCADE"), index=True
    )
    embedder_sha256: Mapped[str]
    kind: Mapped[str | None]
    """Of a variant; NULL: of the sample itself."""
    template: Mapped[bytes]
    """Sealed, as a sample's or a variant's."""
    data_key_id: Mapped[int | None] = _data_key_of("template")


class ChangeRow(Table):
    """The feed: one row a change, in the order of commits."""

    __tablename__ = "changes"

    collection_id: Mapped[UUID] = mapped_column(
        ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True
    )
    revision: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    subject_id: Mapped[UUID]
    """No foreign key: the row tells of subjects that are gone, too."""
    kind: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class ApiKeyRow(Table):
    """An API key, of which only the hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    token_sha256: Mapped[bytes]
    scopes: Mapped[list[str]]
    collections: Mapped[list[str] | None]
    """Names of the collections that it is good for; NULL: all."""
    rate_limit: Mapped[str | None]
    """Such as `600/minute`; NULL: the service's."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    """Written now and then, not at each call."""
    revoked_at: Mapped[datetime | None]


class BundleRow(Table):
    """A published bundle; its files lie in store and data directory under the same id."""

    __tablename__ = "bundles"

    id: Mapped[str] = mapped_column(primary_key=True)
    """SHA-256 of its manifest, in hexadecimal."""
    collection_id: Mapped[UUID] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    watermark: Mapped[int] = mapped_column(BigInteger)
    """Revision of the collection that it was trained on."""
    classes: Mapped[int]
    subnets: Mapped[int]
    metrics: Mapped[dict[str, Any]]
    """What its training measured; in JSON's types."""
    job_id: Mapped[UUID | None]
    active: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    activated_at: Mapped[datetime | None]


# A collection has one active bundle at most, whoever activates.
Index(
    "ix_bundles_active",
    BundleRow.collection_id,
    unique=True,
    postgresql_where=text("active"),
)


class JobRow(Table):
    """A piece of long work, such as a retraining: what was asked, how far it is, how it ended."""

    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    collection_id: Mapped[UUID] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(default="retraining", server_default=text("'retraining'"))
    key_id: Mapped[str | None]
    """Of the API key that asked for it."""
    attempts: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """How often a process has begun it."""
    state: Mapped[str]
    stage: Mapped[str | None]
    progress: Mapped[float]
    """In [0, 1]."""
    message: Mapped[str]
    options: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]
    baseline_bundle_id: Mapped[str | None]
    """The bundle that it is compared with; NULL: none was active."""
    bundle_id: Mapped[str | None]
    """The bundle that it made. No foreign key: a job tells of bundles that are gone, too."""
    cancel_requested: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


# One retraining at a time for each collection, whichever process starts it.
Index(
    "ix_jobs_unfinished",
    JobRow.collection_id,
    unique=True,
    postgresql_where=text("kind = 'retraining' AND state IN ('queued', 'running', 'evaluating')"),
)


class JobItemRow(Table):
    """What has become of one item of a batch."""

    __tablename__ = "job_items"

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    subject_ids: Mapped[list[UUID]] = mapped_column(
        ARRAY(Uuid), default=list, server_default=text("'{}'")
    )
    """Whom the report tells of; the item goes with each of them."""
    failed: Mapped[bool]
    report: Mapped[bytes]
    """Sealed; inside JSON, as the API shows it."""
    data_key_id: Mapped[int | None] = _data_key_of("report")

    __table_args__ = (Index(None, "subject_ids", postgresql_using="gin"),)


class UploadRow(Table):
    """A part of what a batch works on; it goes when the job is over."""

    __tablename__ = "uploads"

    job_id: Mapped[UUID] = mapped_column(
        ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes]
    """Sealed; inside so many of the uploaded bytes, but for the last part."""
    data_key_id: Mapped[int | None] = _data_key_of("content")


class FeedbackRow(Table):
    """What somebody has said of an identification; the probe's template goes with the subject."""

    __tablename__ = "feedback"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    collection_id: Mapped[UUID] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"))
    identification_sha256: Mapped[bytes]
    """Of the collection and the template that the identification's id holds: a second verdict on
    the same face takes the place of the first."""
    verdict: Mapped[str]
    template: Mapped[bytes]
    """As a sample's."""
    data_key_id: Mapped[int | None] = _data_key_of("template")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (UniqueConstraint("subject_id", "identification_sha256"),)


class ErasureRow(Table):
    """The receipt of a deleted subject: what was removed, and when. No name, no template."""

    __tablename__ = "erasures"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    collection_id: Mapped[UUID]
    """No foreign key, nor has the subject's: a receipt outlives both."""
    subject_id: Mapped[UUID]
    samples: Mapped[int]
    variants: Mapped[int]
    pictures: Mapped[int] = mapped_column(server_default=text("0"))
    feedback: Mapped[int]
    erased_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    __table_args__ = (Index(None, "erased_at", "id"),)


class ErasureBundleRow(Table):
    """A bundle that was trained with a subject which has been deleted since."""

    __tablename__ = "erasure_bundles"

    erasure_id: Mapped[UUID] = mapped_column(
        ForeignKey("erasures.id", ondelete="CASCADE"), primary_key=True
    )
    bundle_id: Mapped[str] = mapped_column(primary_key=True, index=True)
    cleared_at: Mapped[datetime | None]
    """When the bundle was deleted, and the last trace of the subject with it; where replicas cache
    bundles, when the last of them has cleared its cache, which may be to come."""


# Asked for every few seconds; receipts stay for ever.
Index(
    "ix_erasure_bundles_open",
    ErasureBundleRow.bundle_id,
    postgresql_where=text("cleared_at IS NULL"),
)


class DataKeyRow(Table):
    """A key that stored templates and pictures are sealed with, itself sealed by the master key."""

    __tablename__ = "data_keys"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Counts from 1; the largest one seals."""
    wrapped: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class AuditRow(Table):
    """Who did what to whom, when, from where, and how it ended. Rows are only ever added."""

    __tablename__ = "audit"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    """Given before the row is written: an entry that is written twice is there once."""
    at: Mapped[datetime]
    request_id: Mapped[str]
    key_id: Mapped[str | None]
    """NULL: the service did it of itself."""
    action: Mapped[str]
    collection_id: Mapped[UUID | None] = mapped_column(index=True)
    """No foreign key, nor have the subjects: an entry outlives both."""
    subject_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    outcome: Mapped[str]
    status: Mapped[int]
    address: Mapped[str | None]
    """Of the caller."""

    __table_args__ = (
        Index(None, "at", "id"),
        Index(None, "subject_ids", postgresql_using="gin"),
    )


class IdempotencyRow(Table):
    """A write that came with an `Idempotency-Key`, and its answer."""

    __tablename__ = "idempotency"

    key_id: Mapped[str] = mapped_column(primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(primary_key=True)
    """Its SHA-256 in hexadecimal: what clients make a key of may tell of somebody."""
    request_sha256: Mapped[bytes]
    """Of method, path, query and body."""
    claim: Mapped[UUID | None]
    """Of whoever works on it; NULL: it is over."""
    leased_until: Mapped[datetime]
    """When the claim lapses, unless it is renewed."""
    written: Mapped[bool]
    """Whether something was committed for it: set in the very transaction."""
    status: Mapped[int | None]
    answer: Mapped[bytes | None]
    """Sealed; inside headers and body. NULL though it is over: the answer is lost, or went with
    the subject."""
    data_key_id: Mapped[int | None] = _data_key_of("answer")
    subject_id: Mapped[UUID | None] = mapped_column(index=True)
    """Whom the answer tells of; it goes with the subject."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp(), index=True)


class SecretRow(Table):
    """A key that all processes on this database share."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[bytes]
    data_key_id: Mapped[int | None] = _data_key_of("value")
