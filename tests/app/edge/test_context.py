import json
import re

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy.exc import OperationalError

from app.logs import configure_logs


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
    assert "test_context.py" in failed["stack"][-1]
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
