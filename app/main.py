"""The service: `create_app` makes it, its lifespan opens and closes what all requests share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from app.audit import routes as audit_routes
from app.audit.middleware import Audit
from app.batches import routes as batch_routes
from app.batches.service import learn_batches
from app.bundles import routes as bundle_routes
from app.bundles.keeper import keeping_bundles
from app.collections import admin_routes as admin_collection_routes
from app.collections import routes as collection_routes
from app.edge.authentication import DOCS_ASSETS, Authentication
from app.edge.body_limit import BodyLimit
from app.edge.context import RequestContext
from app.edge.deadline import Deadline
from app.edge.docs import add_docs
from app.edge.draining import Draining
from app.edge.rate_limit import RateLimit
from app.edge.security_headers import SecurityHeaders
from app.erasures import routes as erasure_routes
from app.feedback import routes as feedback_routes
from app.freed_memory import giving_back_memory
from app.gallery.follower import following
from app.gallery.hearing import hearing
from app.handlers import install_handlers
from app.idempotency.middleware import Idempotency
from app.identify import routes as identify_routes
from app.inference import warm
from app.jobs import routes as job_routes
from app.jobs.keeper import keeping
from app.logs import configure_logs, get_logger
from app.metrics import routes as metrics_routes
from app.metrics.middleware import Metrics
from app.openapi import describe
from app.ops import routes as ops_routes
from app.pictures import routes as picture_routes
from app.retention.keeper import purging
from app.services import Services, opened_services
from app.settings import EMBED_BATCH_LIMITS, Settings
from app.subjects import face_routes
from app.subjects import routes as subject_routes
from app.tracing import Tracing, open_tracing
from app.version import VERSION
from models.decode import DecodeLimits
from models.detect import DetectorSettings
from models.identifier import QueryPath
from models.runtime import configure_threads

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

DESCRIPTION = """
Names the faces in a picture, or says that it knows none of them, at the error rate it was asked
for. Enrol people with `POST /enroll`, then ask with `POST /identify`.

Every call but `/healthz` and `/readyz` needs a key: `Authorization: Bearer cohort_...`. Errors are
`application/problem+json` with a stable `code`; each answer carries an `X-Request-ID`.
""".strip()

TAGS = [
    {"name": "identify", "description": "Who is it? Nothing of the pictures is kept."},
    {"name": "subjects", "description": "The people who can be found."},
    {"name": "batches", "description": "Many people or pictures by one upload."},
    {"name": "collections", "description": "Namespaces of subjects, each tied to an embedder."},
    {"name": "training", "description": "Bundles, and the retrainings that make them."},
    {"name": "operations", "description": "For whoever runs the service."},
]

MAX_FORM_FILES = 25
"""Some more than an enrolment may have, so that `too_many_images` can say how many those are."""
MAX_FORM_FIELDS = 50

log = get_logger()


def open_query_path(settings: Settings) -> QueryPath:
    """Open and warm the nets.

    Raises:
        ManifestInvalid, CalibrationInvalid, ProviderMissing: see `QueryPath.open`.
    """
    configure_threads(settings.inference_threads)
    path = QueryPath.open(
        settings.embedder,
        detector_settings=DetectorSettings(
            smallest_face_px=settings.smallest_face_px,
            longest_side_px=settings.detection_longest_side_px,
        ),
        limits=DecodeLimits(
            max_bytes=settings.max_image_bytes, max_pixels=settings.max_image_pixels
        ),
        flip=settings.flip_average,
        provider=settings.provider,
        threads=settings.inference_threads,
        batch_limit=settings.embed_batch_limit or EMBED_BATCH_LIMITS[settings.provider],
    )
    warm(path)
    return path


def create_app(
    settings: Settings | None = None,
    *,
    open_path: Callable[[Settings], QueryPath] = open_query_path,
) -> FastAPI:
    """Make the service.

    Args:
        settings: from the environment, if not given.
        open_path: how the nets are opened; tests share theirs.

    Raises:
        TracingUnavailable: traces are asked for, and OpenTelemetry is not installed.
    """
    settings = settings or Settings()
    configure_logs(settings.log_level)
    tracing = open_tracing()
    # FastAPI's own pages load their scripts from a public host; here they work without internet.
    app = FastAPIOffline(
        title="Cohort",
        version=VERSION,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=_lifespan(settings, open_path, tracing),
        generate_unique_id_function=_operation_id,
        static_url=DOCS_ASSETS,
        docs_url=None,
        redoc_url=None,
        # It would redirect to whatever host the request names.
        redirect_slashes=False,
        form_limits={"max_files": MAX_FORM_FILES, "max_fields": MAX_FORM_FIELDS},
    )
    for router in (
        identify_routes.router,
        batch_routes.router,
        face_routes.router,
        subject_routes.router,
        picture_routes.router,
        feedback_routes.router,
        collection_routes.router,
        admin_collection_routes.router,
        erasure_routes.router,
        job_routes.router,
        bundle_routes.router,
        audit_routes.router,
        metrics_routes.router,
        ops_routes.router,
    ):
        app.include_router(router)
    add_docs(app)
    install_handlers(app)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    # The one added last is the outermost.
    app.add_middleware(Deadline, seconds=settings.request_deadline_s)
    app.add_middleware(Idempotency)
    app.add_middleware(Audit)
    app.add_middleware(RateLimit, rate=settings.rate_limit)
    app.add_middleware(
        Authentication,
        public_docs=settings.public_docs,
        failed_limit=settings.failed_auth_limit,
    )
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.max_request_bytes,
        timeout_s=settings.body_timeout_s,
        routes=dict.fromkeys(
            (batch_routes.ENROLMENTS, batch_routes.IDENTIFICATIONS), settings.max_batch_bytes
        ),
    )
    app.add_middleware(Metrics)
    if tracing is not None:
        app.add_middleware(Tracing, provider=tracing)
    app.add_middleware(RequestContext, trusted_proxies=settings.trusted_proxies)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Draining)
    return app


def stop_streams(app: FastAPI) -> None:
    """Have answers that go on for long end: the service is about to stop."""
    services: Services | None = getattr(app.state, "services", None)
    if services is not None:
        services.jobs.stopping.set()


def openapi_document() -> dict[str, Any]:
    """Give the OpenAPI document; docs/openapi.json is its snapshot. Nothing is opened for it."""
    return create_app(Settings()).openapi()


def _lifespan(
    settings: Settings,
    open_path: Callable[[Settings], QueryPath],
    tracing: "TracerProvider | None",
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened_services(settings, open_path) as services:
            app.state.services = services
            learn_batches(services)
            log.info(
                "ready",
                embedder=services.path.embedder.manifest.name,
                provider=settings.provider,
            )
            async with (
                keeping_bundles(services.bundles),
                following(services.galleries),
                giving_back_memory(),
                hearing(services.galleries, services.redis),
                keeping(
                    services.jobs, services.galleries, services.database, settings.retrain_share
                ),
                purging(services),
            ):
                yield
            app.state.services = None
        if tracing is not None:
            await asyncio.to_thread(tracing.shutdown)  # sends what is left

    return lifespan


def _operation_id(route: APIRoute) -> str:
    """Name an operation after its function: generated clients read well."""
    return route.name
