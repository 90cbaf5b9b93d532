"""What an operator can turn: read once, from COHORT_* variables, and handed to `create_app`."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from app.keys.rate import check_rate
from models.decode import DecodeLimits
from models.detect import DetectorSettings
from models.quality import ENROLLABLE_SCORE
from models.runtime import Provider
from models.weights import DEFAULT_EMBEDDER

Metric = Literal["rank1", "fnir_at_fpir_0_01"]
"""Figures of a comparison of two bundles; the first is better if larger, the other if smaller."""

MAX_ENROL_IMAGES = 20
"""Pictures of one enrolment; `max_request_bytes` must have room for them."""

EMBED_BATCH_LIMITS: Mapping[Provider, int] = {"cpu": 1, "openvino": 1, "cuda": 8}
"""Faces of concurrent requests in one run of the embedder, by where it runs: on a CPU a batch costs
as much as its faces one by one, and keeps the other processors waiting."""

_DECODE = DecodeLimits()
_DETECT = DetectorSettings()


class Settings(BaseSettings):
    """All settings. Each is documented in docs/reference/settings.md, which a test compares."""

    model_config = SettingsConfigDict(
        env_prefix="COHORT_",
        frozen=True,
        hide_input_in_errors=True,  # it may be a password
    )

    data_dir: Path = Field(
        Path("var"),
        description="Folder of the embedded Postgres, of the bundles and of `admin.key`.",
    )
    # Before the address itself, which is read from it.
    database_url_file: Path | None = Field(
        None, description="File with the database's address, instead of the address itself."
    )
    database_url: SecretStr | None = Field(
        None,
        validate_default=True,
        description="`postgresql://...`; unset: an embedded Postgres in the data directory.",
    )
    database_pool_size: int = Field(10, ge=1, description="Connections kept to Postgres.")

    min_revision_wait_s: float = Field(
        2.0,
        ge=0,
        le=60,
        description="How long a request waits for what another replica has written.",
    )

    redis_url_file: Path | None = Field(
        None, description="File with the address of Redis, instead of the address itself."
    )
    redis_url: SecretStr | None = Field(
        None,
        validate_default=True,
        description="`redis://...`: notifications between replicas, jobs for workers, shared rate "
        "limits; unset: one machine without them.",
    )
    bundle_store: SecretStr | None = Field(
        None,
        description="Where bundles are kept for all replicas, a URL that fsspec knows, such as "
        "`s3://bucket/folder`; unset: the data directory alone.",
    )
    encryption_key: SecretStr | None = Field(
        None, description="Master key, 32 random bytes in base64: `openssl rand -base64 32`."
    )
    encryption_key_file: Path | None = Field(
        None,
        description="File with the master key; unset as the key is: `encryption.key` in the data "
        "directory, made at the first start.",
    )

    embedder: Path = Field(
        DEFAULT_EMBEDDER,
        description="Manifest of the embedder of new collections; see the guide to embedders.",
    )
    further_embedders: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Manifests of embedders that run beside it, separated by commas."
    )
    provider: Provider = Field("cpu", description="ONNX Runtime's execution provider.")
    inference_threads: int = Field(
        1, ge=1, description="Threads within one net's run; more shortens one request alone."
    )
    inference_workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        description="Pictures worked on at once.",
    )
    inference_queue_limit: int = Field(
        64, ge=0, description="Requests that may wait for a worker; one more gets 503 overloaded."
    )
    request_deadline_s: float = Field(
        30.0,
        gt=0,
        description="What has not begun so long after its request had come is not begun: 503 "
        "deadline_exceeded. A client asks for less with `Cohort-Timeout`.",
    )
    embed_batch_limit: int | None = Field(
        None,
        ge=1,
        description="Faces of concurrent requests that may share a run of the embedder; 1: none. "
        "Unset: 8 with `cuda`, 1 otherwise.",
    )
    flip_average: bool = Field(
        True, description="Average each template with its mirror image's: better, costs a net run."
    )
    subnet_memory_bytes: int = Field(
        2**30, ge=0, description="Weights of trained subnets kept open; beyond, the least used go."
    )
    smallest_face_px: int = Field(
        _DETECT.smallest_face_px, ge=20, description="Shortest side of a face that is looked for."
    )
    detection_longest_side_px: int = Field(
        _DETECT.longest_side_px,
        ge=64,
        description="Larger pictures are searched at this size; boxes stay in their pixels.",
    )

    max_image_bytes: int = Field(
        _DECODE.max_bytes, ge=1024, description="Largest picture, compressed."
    )
    max_image_pixels: int = Field(
        _DECODE.max_pixels, ge=4096, description="Largest picture, width times height."
    )
    max_request_bytes: int = Field(
        (MAX_ENROL_IMAGES + 1) * _DECODE.max_bytes, ge=4096, description="Largest request body."
    )

    max_batch_bytes: int = Field(
        2**29, ge=4096, description="Largest upload of a batch, an archive or NDJSON."
    )
    batch_days: int = Field(
        30, ge=1, description="Days after which a finished batch and its reports are deleted."
    )

    enroll_variants: int = Field(
        3, ge=0, le=16, description="Templates of degraded copies kept a picture, for training."
    )
    enroll_min_quality: float = Field(
        ENROLLABLE_SCORE, ge=0, le=1, description="Pictures below this quality are rejected."
    )
    default_max_fpir: float = Field(
        0.01, ge=1e-5, le=0.5, description="Share of strangers taken for somebody, if not asked."
    )

    training_python: str = Field(
        default_factory=lambda: sys.executable,
        min_length=1,
        description="Interpreter that retrains; it needs torch.",
    )
    training_memory_bytes: int = Field(
        8 * 2**30, ge=2**28, description="Memory that a retraining's process may allocate."
    )
    retrain_metric: Metric = Field(
        "rank1", description="Figure by which a new bundle is compared with what it replaces."
    )
    retrain_margin: float = Field(
        0.002, ge=-1, le=1, description="By how much a new bundle may be worse, and be published."
    )
    retrain_share: float | None = Field(
        None,
        gt=0,
        description="Share of subjects changed since the bundle that starts a retraining.",
    )
    bundles_kept: int = Field(
        3, ge=0, description="Bundles of a collection kept beside the active one."
    )

    idempotency_hours: int = Field(
        24, ge=1, description="How long the answer to a write with an `Idempotency-Key` is kept."
    )
    key_cache_s: float = Field(
        5.0, ge=0, description="How long a revoked key may still work, and no longer."
    )
    rate_limit: str = Field(
        "6000/minute", description="Calls that a key may make, unless it has a rate of its own."
    )
    failed_auth_limit: str = Field(
        "60/minute", description="Calls without a valid key that an address may make."
    )
    trusted_proxies: int = Field(
        0, ge=0, description="Proxies that each request comes through, whose X-Forwarded-For holds."
    )
    public_docs: bool = Field(
        False, description="Whether /docs, /redoc and /openapi.json need no key."
    )
    body_timeout_s: float = Field(
        20.0, gt=0, description="For a request's body, and a second more for each 8 KiB that came."
    )
    drain_s: float = Field(
        0.0, ge=0, description="How long requests are still taken once the service is told to stop."
    )
    audit_days: int | None = Field(
        None, ge=1, description="Days after which audit entries are deleted; unset: never."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe log records that are written."
    )

    @field_validator("rate_limit", "failed_auth_limit")
    @classmethod
    def _is_a_rate(cls, value: str) -> str:
        return check_rate(value)

    @field_validator("further_embedders", mode="before")
    @classmethod
    def _are_separated_by_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(Path(each.strip()) for each in value.split(",") if each.strip())
        return value

    @field_validator("database_url", "redis_url")
    @classmethod
    def _or_from_its_file(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        file: Path | None = info.data.get(f"{info.field_name}_file")
        if file is None:
            return value
        if value is not None:
            raise ValueError("is set, and its file is, too: one of them is wanted")
        try:
            return SecretStr(file.read_text().strip())
        except (OSError, UnicodeDecodeError):
            raise ValueError("its file can't be read") from None

    @field_validator("database_url")
    @classmethod
    def _is_a_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            try:
                backend = make_url(value.get_secret_value()).get_backend_name()
            except (ArgumentError, ValueError):
                backend = ""
            if backend not in ("postgresql", "postgres"):
                # Outside the handler, whose errors may quote the password.
                raise ValueError("should be postgresql://user:password@host:port/database")
        return value
