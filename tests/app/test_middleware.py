import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy.exc import OperationalError

from app.logs import configure_logs
from app.middleware import MAX_PLAIN_BODY_BYTES
from app.settings import Settings

PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
Serve = Callable[[Settings], AbstractAsyncContextManager[AsyncClient]]


@pytest.mark.parametrize("given", ["abc", "A.b_c-9", "x" * 128])
async def test_a_good_request_id_is_given_back(client: AsyncClient, given: str) -> None:
    answer = await client.get("/healthz", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", 'a"b', "<script>", "ä".encode()])
async def test_another_is_replaced(client: AsyncClient, given: str | bytes) -> None:
    headers = [(b"X-Request-ID", given if isinstance(given, bytes) else given.encode())]
    answer = await client.get("/nowhere", headers=headers)
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


async def chunks(first: bytes, count: int) -> AsyncIterator[bytes]:
    """A body whose length nobody knows beforehand."""
    yield first
    for _ in range(count):
        yield bytes(1000)


@pytest.mark.parametrize("path", ["/identify", "/enroll", "/collections", "/nowhere"])
async def test_a_body_that_says_it_is_too_large_is_refused(
    serve: Serve, settings: Settings, path: str
) -> None:
    async with serve(settings.model_copy(update={"max_request_bytes": 5000})) as client:
        answer = await client.post(path, content=bytes(5001))
    assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("path", "content_type", "first"),
    [
        ("/identify", "multipart/form-data; boundary=x", PART),
        ("/collections", "application/json", b"{"),
    ],
)
async def test_a_body_that_turns_out_too_large_is_refused(
    serve: Serve, settings: Settings, path: str, content_type: str, first: bytes
) -> None:
    async with serve(settings.model_copy(update={"max_request_bytes": 5000})) as client:
        headers = {"Content-Type": content_type}
        answer = await client.post(path, content=chunks(first, 6), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")
        assert answer.headers["X-Request-ID"] == answer.json()["request_id"]
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_without_pictures_may_be_small_only(
    client: AsyncClient, content_type: str | None, declared: bool
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}

    async def send(size: int) -> int:
        body = b"{" + b" " * (size - 1)
        content = body if declared else chunks(body, 0)
        return (await client.post("/collections", content=content, headers=headers)).status_code

    assert await send(MAX_PLAIN_BODY_BYTES) in (400, 422)
    assert await send(MAX_PLAIN_BODY_BYTES + 1) == 413


async def test_a_stranger_is_refused_before_the_body_is_read(stranger: AsyncClient) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(10):
            read += 1
            yield bytes(1000)

    answer = await stranger.post("/enroll", content=body())

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="cohort"'
    assert read == 0


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/version", "/docs", "/openapi.json"])
async def test_public_paths_need_no_key(stranger: AsyncClient, path: str) -> None:
    assert (await stranger.get(path)).status_code == 200


async def test_every_other_route_needs_a_key(app: FastAPI, stranger: AsyncClient) -> None:
    operations = [
        (method, path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if path not in ("/healthz", "/readyz", "/version")
    ]
    assert len(operations) > 10
    for method, path in operations:
        answer = await stranger.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (401, "missing_key")


async def test_an_unexpected_error_tells_nothing_of_itself(
    app: FastAPI, client: AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("INFO")  # to the stream that is captured

    @app.get("/broken")
    async def broken() -> None:
        raise ValueError("Barack Obama's secret")

    answer = await client.get("/broken")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    logged = capsys.readouterr().err
    assert "Obama" not in answer.text + logged
    failed, request = (json.loads(line) for line in logged.splitlines()[-2:])
    assert failed["error"] == "ValueError"
    assert "test_middleware.py" in failed["stack"][-1]
    assert failed["request_id"] == answer.json()["request_id"] == request["request_id"]


async def test_a_database_that_is_away_is_503(app: FastAPI, client: AsyncClient) -> None:
    @app.get("/away")
    async def away() -> None:
        raise OperationalError("SELECT", {}, Exception())

    answer = await client.get("/away")

    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"] == "1"


async def test_a_request_is_logged_by_its_route_not_its_address(
    client: AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("INFO")
    await client.get("/subjects", params={"name_prefix": "Barack", "external_id": "p-44"})

    (line,) = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert (record["event"], record["path"], record["status"]) == ("request", "/subjects", 200)
    assert record["key_id"] in client.headers["Authorization"]
    assert "Barack" not in line
    assert "p-44" not in line
