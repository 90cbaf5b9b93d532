"""Traces, sent to an OpenTelemetry collector if OTEL_EXPORTER_OTLP_ENDPOINT names one.

Each request is a span, which continues the caller's trace (W3C `traceparent`); the stages of a
picture and catching up with the database are spans within it. No attribute holds anything of a
person, a picture or a key. OpenTelemetry need not be installed unless traces are wanted; its own
OTEL_* variables say the rest, such as OTEL_SERVICE_NAME.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"

_tracer: ContextVar["Tracer | None"] = ContextVar("tracer", default=None)
"""Of the request that is being answered, if it is traced."""


class TracingUnavailable(ImportError):
    """Traces are asked for, and what they need is not installed."""


def open_tracing() -> "TracerProvider | None":
    """Make what sends spans to the collector; None: there is none to send them to.

    Raises:
        TracingUnavailable: OpenTelemetry is not installed.
    """
    if not os.environ.get(ENDPOINT):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingUnavailable(
            f"{ENDPOINT} is set, and OpenTelemetry is not installed: "
            'install the extra, `pip install "cohort[tracing]"`, or unset the variable'
        ) from error
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over what is said here.
    name = os.environ.get("OTEL_SERVICE_NAME", "cohort")
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Tracing:
    """Makes a span of each request, and has the log's records name its trace."""

    def __init__(self, app: ASGIApp, provider: "TracerProvider") -> None:
        self.app = app
        self.provider = provider
        self._tracer = provider.get_tracer("cohort")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode, format_trace_id
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(dict(Headers(scope=scope)))
        token = _tracer.set(self._tracer)
        try:
            with self._tracer.start_as_current_span(
                scope["method"],
                parent,
                SpanKind.SERVER,
                record_exception=False,  # its message may quote what it met
                set_status_on_exception=False,
            ) as span:
                structlog.contextvars.bind_contextvars(
                    trace_id=format_trace_id(span.get_span_context().trace_id)
                )

                async def send_told(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        status = message["status"]
                        span.set_attribute("http.response.status_code", status)
                        if status >= 500:
                            span.set_status(Status(StatusCode.ERROR))
                    await send(message)

                span.set_attribute("http.request.method", scope["method"])
                span.set_attribute("cohort.request_id", scope["state"]["request_id"])
                try:
                    await self.app(scope, receive, send_told)
                except Exception as error:
                    span.set_status(Status(StatusCode.ERROR))
                    span.set_attribute("error.type", type(error).__qualname__)
                    raise
                finally:
                    if route := getattr(scope.get("route"), "path", None):
                        span.update_name(f"{scope['method']} {route}")
                        span.set_attribute("http.route", route)
        finally:
            _tracer.reset(token)


@contextmanager
def span(name: str) -> Iterator[None]:
    """Make a span of the block, if the request is traced."""
    tracer = _tracer.get()
    if tracer is None:
        yield
        return
    with tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False):
        yield


def span_stages(timings_ms: Mapping[str, float]) -> None:
    """Make spans of stages that have just ended, one after the other, if the request is traced.

    Args:
        timings_ms: milliseconds of each, in their order; `total` is none of them.
    """
    tracer = _tracer.get()
    if tracer is None:
        return
    durations_ns = {
        stage: round(duration * 1e6) for stage, duration in timings_ms.items() if stage != "total"
    }
    start = time.time_ns() - sum(durations_ns.values())
    for stage, duration_ns in durations_ns.items():
        tracer.start_span(stage, start_time=start).end(start + duration_ns)
        start += duration_ns
