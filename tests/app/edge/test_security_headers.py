import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from app.edge.security_headers import HEADERS


async def check(client: AsyncClient, method: str, path: str, status: int) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    for name, value in HEADERS.items():
        assert answer.headers[name] == value, name
    assert "Server" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/collections", 200),
        ("GET", "/nowhere", 404),
        ("PUT", "/collections", 405),
        ("POST", "/collections", 422),
    ],
)
async def test_every_answer_has_them(
    client: AsyncClient, method: str, path: str, status: int
) -> None:
    await check(client, method, path, status)


async def test_a_refusal_and_an_unexpected_error_have_them(
    app: FastAPI, client: AsyncClient
) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise ValueError

    await check(client, "GET", "/broken", 500)
    del client.headers["Authorization"]
    await check(client, "GET", "/collections", 401)


async def test_no_other_origin_may_read_anything(client: AsyncClient) -> None:
    origin = {"Origin": "https://elsewhere.example"}
    for path in ("/healthz", "/collections", "/nowhere", "/identify"):
        answer = await client.get(path, headers=origin)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        preflight = await client.options(
            path,
            headers=origin
            | {
                "Authorization": "",
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "authorization",
            },
        )
        assert preflight.status_code in (401, 405)
        assert not [name for name in preflight.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/healthz", "/docs", "/openapi.json", "/collections", "/subjects/", "/docs-assets"]
)
async def test_the_host_that_a_request_names_is_repeated_nowhere(
    client: AsyncClient, path: str
) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
    answer = await client.get(path, headers=headers)
    assert "evil.example" not in answer.text + str(answer.headers)
    assert "Location" not in answer.headers
