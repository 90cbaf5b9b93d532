"""Traces as a collector gets them: over HTTP, as protobuf."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from app.gallery import follower
from app.settings import Settings
from app.tracing import TracingUnavailable, open_tracing
from tests.app.conftest import Serve

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """Takes what is sent to it."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        self.bodies = b""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces"
                collector.take(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def take(self, body: bytes) -> None:
        self.bodies += body
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        for resource in request.resource_spans:
            self.services |= {
                each.value.string_value
                for each in resource.resource.attributes
                if each.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.spans += scope.spans


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    thread = Thread(target=collector.server.serve_forever)
    thread.start()
    port = collector.server.server_address[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    thread.join()


async def test_a_request_and_its_stages_are_spans_of_the_caller_s_trace(
    serve: Serve,
    settings: Settings,
    collector: Collector,
    picture: Callable[[str], bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(follower, "POLL_S", 600)  # else it may be there before the request
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    async with serve(settings) as client:
        enrolled = await client.post(
            "/enroll",
            files={"images": ("snap.jpg", picture("obama"))},
            data={"name": "Barack", "external_id": "p-44"},
        )
        subject_id = enrolled.json()["subject"]["subject_id"]
        await client.post("/identify", files={"image": picture("obama2")}, headers=headers)
        await client.get(f"/subjects/{subject_id}")
        key = client.headers["Authorization"].split("_", 2)[2]

    spans = {each.name: each for each in collector.spans}
    request = spans["POST /identify"]
    assert collector.services == {"cohort"}
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    assert request.kind == Span.SPAN_KIND_SERVER
    attributes = {each.key: each.value for each in request.attributes}
    assert attributes["http.route"].string_value == "/identify"
    assert attributes["http.response.status_code"].int_value == 200
    previous = request.start_time_unix_nano
    for name in ("decode", "detect", "align", "embed", "search", "decide"):
        stage = spans[name]
        assert stage.parent_span_id == request.span_id
        assert previous <= stage.start_time_unix_nano <= stage.end_time_unix_nano
        previous = stage.end_time_unix_nano
    assert previous <= request.end_time_unix_nano
    assert spans["catch up"].parent_span_id == spans["POST /enroll"].span_id
    assert "GET /subjects/{subject_id}" in spans
    for personal in (subject_id, "Barack", "p-44", "snap", key, "127.0.0.1"):
        assert personal.encode() not in collector.bodies

    records = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (record,) = [each for each in records if each.get("path") == "/identify"]
    assert record["trace_id"] == TRACE


async def test_an_error_is_told_by_its_type(
    serve: Serve, settings: Settings, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(**_: object) -> None:
        raise LookupError("Barack Obama is not here")

    monkeypatch.setattr("app.subjects.service.list_subjects", fail)
    async with serve(settings) as client:
        assert (await client.get("/subjects")).status_code == 500
    (found,) = [each for each in collector.spans if each.name == "GET /subjects"]
    attributes = {each.key: each.value.string_value for each in found.attributes}
    assert attributes["error.type"] == "LookupError"
    assert found.status.code == found.status.STATUS_CODE_ERROR
    assert b"Obama" not in collector.bodies


async def test_a_request_is_answered_though_nobody_collects(
    serve: Serve, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    async with serve(settings) as client:
        assert (await client.get("/subjects")).status_code == 200


def test_what_sends_traces_is_imported_only_if_it_is_wanted() -> None:
    """FastAPI itself looks whether OpenTelemetry is there."""
    script = """
        import sys
        import app.main
        app.main.create_app()
        print([each for each in sys.modules if each.startswith("opentelemetry.exporter")])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracingUnavailable, match=r"cohort\[tracing\]"):
        open_tracing()
