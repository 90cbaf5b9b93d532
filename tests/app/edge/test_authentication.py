from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from app.keys.service import create_key
from app.settings import Settings
from tests.app.conftest import Serve


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


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_need_no_key(stranger: AsyncClient, path: str) -> None:
    assert (await stranger.get(path)).status_code == 200


DOCS = ["/docs", "/redoc", "/openapi.json", "/docs-assets/swagger-ui.css"]


@pytest.mark.parametrize("path", DOCS)
async def test_the_documentation_needs_a_key(client: AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 200
    del client.headers["Authorization"]
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_key")


async def test_the_documentation_may_be_public_and_nothing_else_is(
    serve: Serve, settings: Settings
) -> None:
    async with serve(settings.model_copy(update={"public_docs": True})) as client:
        del client.headers["Authorization"]
        for path in DOCS:
            assert (await client.get(path)).status_code == 200
        for path in ("/version", "/docs/", "/docs-assets", "/docs-assets/../subjects", "//docs"):
            assert (await client.get(path)).status_code == 401, path


@pytest.mark.parametrize("path", ["/subjects?key={}", "/{}", "/subjects/{}", "/healthz/?a=1&x={}"])
async def test_a_key_in_an_address_is_not_read(client: AsyncClient, path: str) -> None:
    key = client.headers["Authorization"].removeprefix("Bearer ")
    for headers in ({}, {"Authorization": ""}):
        answer = await client.get(path.format(key), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "key_in_address")
        assert key not in answer.text


@pytest.mark.parametrize("field", ["key", "token", "api_key", "access_token", "authorization"])
async def test_a_key_in_a_form_is_not_read(client: AsyncClient, field: str) -> None:
    key = client.headers.pop("Authorization")
    headers = {"Cookie": f"{field}={key}", "X-API-Key": key}
    answer = await client.post(
        "/identify", files={"image": b"x"}, data={field: key}, headers=headers
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_key")


async def test_of_two_keys_neither_is_taken(app: FastAPI, client: AsyncClient) -> None:
    token, _ = await create_key(app.state.services.database, name="x", scopes=["identify"])
    both = [("Authorization", client.headers.pop("Authorization"))]
    both.append(("Authorization", f"Bearer {token}"))
    answer = await client.get("/subjects", headers=both)
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_key")


async def test_a_guesser_is_slowed_down(serve: Serve, settings: Settings) -> None:
    settings = settings.model_copy(update={"failed_auth_limit": "5/hour"})
    async with serve(settings) as client:
        right = client.headers.pop("Authorization")
        wrong = f"Bearer cohort_00000000_{'x' * 43}"
        seen = [
            (await client.get("/subjects", headers=headers)).status_code
            for headers in [{}, {"Authorization": wrong}] * 4
        ]
        # Known from here on; a neighbour at the same address is not shut out by the guesses.
        assert seen == [401] * 5 + [429] * 3
        refused = await client.get("/subjects", headers={"Authorization": wrong})
        assert refused.json()["code"] == "rate_limited"
        assert int(refused.headers["Retry-After"]) > 0
        assert "RateLimit" not in refused.headers

        # Nor has a key a chance that is first tried now: it may be the guesser's, at last.
        assert (await client.get("/subjects", headers={"Authorization": right})).status_code == 429
        assert (await client.get("/healthz")).status_code == 200


async def test_a_key_that_is_known_goes_on_beside_a_guesser(
    serve: Serve, settings: Settings
) -> None:
    settings = settings.model_copy(update={"failed_auth_limit": "3/hour", "key_cache_s": 0.0})
    async with serve(settings) as client:
        for _ in range(4):
            assert (await client.get("/subjects")).status_code == 200
            await client.get("/subjects", headers={"Authorization": "Bearer x"})
        assert (await client.get("/subjects")).status_code == 200
        refused = await client.get("/subjects", headers={"Authorization": "Bearer x"})
        assert refused.status_code == 429


async def test_a_guesser_s_address_is_what_the_trusted_proxy_says(
    serve: Serve, settings: Settings
) -> None:
    limits = {"failed_auth_limit": "2/hour", "trusted_proxies": 1}
    async with serve(settings.model_copy(update=limits)) as client:
        del client.headers["Authorization"]

        async def ask(forwarded: str) -> int:
            headers = {"X-Forwarded-For": forwarded}
            return (await client.get("/subjects", headers=headers)).status_code

        # What stands before the last one is the caller's own invention.
        assert [await ask(f"10.0.0.{n}, 203.0.113.7") for n in range(4)] == [401, 401, 429, 429]
        assert await ask("203.0.113.7, 203.0.113.8") == 401
