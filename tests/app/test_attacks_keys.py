"""An attacker without a key, or with one that is none: nothing is to be had, nor to be learnt."""

import statistics
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from time import perf_counter
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.routing import Mount, Route

from app.edge.authentication import PROBES
from app.keys import service
from app.keys.ring import KeyRing
from app.main import create_app
from app.problems import InvalidKey
from app.settings import Settings
from models.identifier import QueryPath

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X"]


@pytest.fixture
async def app(settings: Settings, query_path: QueryPath) -> AsyncIterator[FastAPI]:
    """A service that lets one guess as fast as one can."""
    settings = settings.model_copy(update={"failed_auth_limit": "1000000/second"})
    app = create_app(settings, open_path=lambda _: query_path)
    async with app.router.lifespan_context(app):
        yield app


async def ask(
    app: FastAPI, method: str, target: str, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Send a request as the server hands it over: no client has put its address in order."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode()) for name, value in (headers or {}).items()
        ],
        "client": ("192.0.2.1", 1234),
        "server": ("cohort", 80),
        "state": {},
    }
    status, body = 0, b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status, body
        if message["type"] == "http.response.start":
            status = message["status"]
        body += message.get("body", b"")

    await app(scope, receive, send)
    return status, body


def paths(app: FastAPI) -> set[str]:
    """All paths that there are, with something for their parameters."""
    found = set()

    def walk(routes: Any, prefix: str = "") -> None:
        for route in routes:
            if isinstance(route, Mount):
                found.add(f"{prefix}{route.path}/swagger-ui.css")
                found.add(f"{prefix}{route.path}")
            elif isinstance(route, Route) or hasattr(route, "path"):
                found.add(prefix + route.path)
            walk(getattr(route, "routes", None) or [], prefix)

    walk(app.routes)
    found |= set(app.openapi()["paths"])
    ids = {"name": "default", "bundle_id": "0" * 64}
    return {
        path.format_map(Ids(ids)) if "{" in path and ":" not in path else path for path in found
    }


class Ids(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return str(uuid4())


def disguises(path: str) -> Iterator[str]:
    """Other ways to write a path, by which somebody may come past a look at it."""
    yield path
    yield f"{path}/"
    yield f"/{path}"
    yield path.replace("/", "//")
    yield path.upper()
    yield "/" + "".join(f"%{ord(letter):02x}" for letter in path[1:])
    yield path.replace("/", "%2f")
    yield f"/.{path}"
    for probe in sorted(PROBES):
        yield f"{probe}/..{path}"
        yield f"{probe}/%2e%2e{path}"
        yield f"{probe}%2f..{path}"
        yield f"{probe}%00{path}"
        yield f"{probe};{path}"
        yield f"{path}?{probe}"
        yield f"{path}%3f{probe}"
        yield f"{path}{probe}"
    yield f"/docs-assets/..{path}"
    yield f"http://cohort{path}"
    yield f"{path}%00"
    yield f"{path};a=b"
    yield f"{path}%20"


async def test_no_route_answers_without_a_key_but_the_probes(app: FastAPI) -> None:
    known = paths(app)
    assert len(known) > 30
    assert {"/docs", "/redoc", "/openapi.json", "/docs-assets", "/version", "/metrics"} <= known
    for path in known - PROBES:
        for method in METHODS:
            status, body = await ask(app, method, path)
            assert status == 401, (method, path, status)
            assert method == "HEAD" or b'"missing_key"' in body


async def test_no_way_to_write_an_address_comes_past_the_key(app: FastAPI) -> None:
    for path in paths(app) - PROBES:
        for disguise in disguises(path):
            for method in ("GET", "POST"):
                status, _ = await ask(app, method, disguise)
                assert status == 401, (method, disguise, status)


async def test_what_a_proxy_might_be_told_is_not_believed(app: FastAPI) -> None:
    for name in (
        *("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path", "X-Forwarded-Prefix"),
        *("X-HTTP-Method-Override", "X-Forwarded-For", "X-Real-IP", "Forwarded", "Host"),
    ):
        for value in ("/healthz", "127.0.0.1", "for=127.0.0.1", "GET", "localhost"):
            status, _ = await ask(app, "GET", "/subjects", {name: value})
            assert status == 401, (name, value)


async def test_the_probes_do_nothing_but_answer(app: FastAPI) -> None:
    for path in PROBES:
        for method in METHODS:
            status, _ = await ask(app, method, path)
            assert status == (200 if method == "GET" else 405), (method, path)


@pytest.mark.parametrize(
    "authorization",
    [
        *("", "Bearer", "Bearer ", "bearer\t", "Basic YWRtaW46YWRtaW4=", "Bearer null"),
        *("Bearer undefined", "Bearer *", "Bearer admin", "Bearer ' OR '1'='1", "Digest x"),
        *("Bearer cohort_", f"Bearer cohort_00000000_{'A' * 43}", "Bearer " + "A" * 100_000),
        *(f"Bearer cohort_%_{'A' * 43}", f"Bearer cohort_________ {'_' * 43}"),
        f"Bearer cohort_00000000_{'A' * 43}\0",
    ],
)
async def test_nothing_that_looks_like_a_key_is_one(app: FastAPI, authorization: str) -> None:
    status, _ = await ask(app, "GET", "/subjects", {"Authorization": authorization})
    assert status == 401


async def wrong_keys(app: FastAPI) -> tuple[str, dict[str, list[str]]]:
    """A key that is in use, and tokens that are wrong in every way, many of each."""
    database = app.state.services.database

    async def made(**more: Any) -> tuple[str, service.ApiKey]:
        return await service.create_key(database, name="x", scopes=["identify"], **more)

    token, _ = await made()
    revoked = [await made() for _ in range(100)]
    for _, key in revoked:
        await service.revoke_key(database, key_id=key.key_id)
    expired = [await made(expires=timedelta(0)) for _ in range(100)]
    draw = np.random.default_rng(0)

    def secret() -> str:
        return "".join(
            draw.choice(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), 43)
        )

    return token, {
        "unknown id": [f"cohort_{draw.integers(2**32):08x}_{secret()}" for _ in range(100)],
        "wrong secret": [f"{token[:16]}{secret()}" for _ in range(100)],
        # No secret of 32 bytes ends in one of these.
        "nearly the secret": [f"{token[:-2]}{first}{last}" for first in "AQgw" for last in "BCDF"]
        * 6,
        "revoked": [each for each, _ in revoked],
        "expired": [each for each, _ in expired],
    }


async def test_all_wrong_keys_get_one_answer(app: FastAPI) -> None:
    _, kinds = await wrong_keys(app)
    answers = {
        await ask(
            app,
            "GET",
            "/subjects",
            {"Authorization": f"Bearer {tokens[0]}", "X-Request-ID": "same"},
        )
        for tokens in kinds.values()
    }
    assert len(answers) == 1


@pytest.mark.slow
@pytest.mark.parametrize("cache_s", [0.0, 60.0], ids=["looked-up", "remembered"])
async def test_what_is_wrong_with_a_key_can_t_be_told_by_a_clock(
    app: FastAPI, cache_s: float
) -> None:
    token, kinds = await wrong_keys(app)
    ring = KeyRing(app.state.services.database, cache_s=cache_s)
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    turns = [(kind, each) for kind, tokens in kinds.items() for each in tokens] * 2
    if cache_s:
        # The first time is a lookup for each; what is remembered is what is measured then.
        for _, each in turns:
            with pytest.raises(InvalidKey):
                await ring.authenticate(f"Bearer {each}")
    # All kinds in one random order: whatever else the machine does falls on all alike.
    np.random.default_rng(0).shuffle(turns)
    for kind, each in turns:
        await ring.authenticate(f"Bearer {token}")  # its id is in use all the time
        began = perf_counter()
        with pytest.raises(InvalidKey):
            await ring.authenticate(f"Bearer {each}")
        seconds[kind].append(perf_counter() - began)
    medians = {kind: statistics.median(each) for kind, each in seconds.items()}
    # A lookup takes some fifty times as long as what is remembered.
    assert max(medians.values()) < 1.5 * min(medians.values()), medians
