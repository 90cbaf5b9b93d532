import re

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from pydantic import SecretStr

from app.keys.service import create_key
from app.main import create_app
from app.settings import Settings
from models.identifier import QueryPath
from tests.app.conftest import Serve, client_of


async def test_each_answer_says_what_is_left(serve: Serve, settings: Settings) -> None:
    async with serve(settings.model_copy(update={"rate_limit": "3/hour"})) as client:
        for left in (2, 1, 0):
            answer = await client.get("/subjects")
            assert answer.status_code == 200
            assert answer.headers["RateLimit-Policy"] == '"key";q=3;w=3600'
            assert re.fullmatch(rf'"key";r={left};t=\d+', answer.headers["RateLimit"])
        refused = await client.get("/nowhere")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        seconds = int(refused.headers["Retry-After"])
        assert 0 < seconds <= 3600
        assert refused.headers["RateLimit"] == f'"key";r=0;t={seconds}'
        assert refused.headers["RateLimit-Policy"] == '"key";q=3;w=3600'


async def test_a_key_has_its_own_rate(app: FastAPI, client: AsyncClient) -> None:
    database = app.state.services.database
    token, _ = await create_key(database, name="x", scopes=["identify"], rate_limit="2/day")
    slow = {"Authorization": f"Bearer {token}"}
    statuses = [(await client.get("/subjects", headers=slow)).status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]
    answer = await client.get("/subjects")
    assert answer.status_code == 200
    assert answer.headers["RateLimit-Policy"] == '"key";q=6000;w=60'


async def test_what_needs_no_key_has_no_rate(stranger: AsyncClient) -> None:
    assert "RateLimit" not in (await stranger.get("/healthz")).headers


async def test_replicas_count_together(
    settings: Settings, redis_url: str, query_path: QueryPath
) -> None:
    settings = settings.model_copy(
        update={"rate_limit": "4/hour", "redis_url": SecretStr(redis_url)}
    )
    apps = [create_app(settings, open_path=lambda _: query_path) for _ in range(2)]
    async with (
        apps[0].router.lifespan_context(apps[0]),
        apps[1].router.lifespan_context(apps[1]),
        client_of(apps[0], settings) as one,
        client_of(apps[1], settings) as other,
    ):
        seen = [(await client.get("/subjects")).status_code for client in (one, other) * 3]
    assert seen == [200] * 4 + [429] * 2


@pytest.mark.parametrize("rate", ["", "many", "0/minute", "5/fortnight", "-1/second"])
def test_a_rate_that_can_t_be_read_stops_the_start(rate: str) -> None:
    with pytest.raises(ValueError, match="600/minute"):
        Settings(rate_limit=rate)
