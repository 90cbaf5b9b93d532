"""Replicas that hear of each other's writes at once, and lose nothing when they can't."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from time import monotonic

import pytest
from httpx import AsyncClient
from pydantic import SecretStr

from app.gallery import follower
from app.gallery.notices import CHANNEL
from app.logs import configure_logs
from app.settings import Settings
from benchmarks.servers import Valkey
from tests.app.gallery.test_follower import enrol, found, soon

Picture = Callable[[str], bytes]
Serve = Callable[[Settings], AbstractAsyncContextManager[AsyncClient]]
Pair = tuple[AsyncClient, AsyncClient]

AT_ONCE_S = 5.0
"""For an enrolment that nothing holds up."""


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


async def both_hear(redis: Valkey) -> bool:
    with redis.client() as client:
        return int(client.pubsub_numsub(CHANNEL)[0][1]) == 2


@pytest.fixture
async def pair(serve: Serve, settings: Settings, own_redis: Valkey) -> AsyncIterator[Pair]:
    configure_logs("INFO")
    connected = settings.model_copy(update={"redis_url": SecretStr(own_redis.url)})
    async with serve(connected) as one, serve(connected) as other:
        await soon(partial(both_hear, own_redis))
        yield one, other


@pytest.fixture
def hardly_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have services that start from now on look at the database of themselves as good as never."""
    monkeypatch.setattr(follower, "POLL_S", 600)


@pytest.fixture
def deaf_but_for_redis(hardly_looking: None, pair: Pair) -> Pair:
    return pair


async def test_a_change_is_heard_of_at_once(deaf_but_for_redis: Pair, picture: Picture) -> None:
    one, other = deaf_but_for_redis
    assert (await one.post("/collections", json={"name": "staff"})).status_code == 201
    subject_id = await enrol(one, picture("obama"), collection="staff")

    async def is_there() -> bool:
        shown = (await other.get("/collections/staff")).json()
        return bool(shown["gallery"] and shown["gallery"]["subject_count"])

    async def is_gone() -> bool:
        return not (await other.get("/collections/staff")).json()["gallery"]["subject_count"]

    await soon(is_there)
    assert await found(other, picture("obama2"), collection="staff") == [subject_id]
    assert (await one.delete(f"/subjects/{subject_id}")).status_code == 204
    await soon(is_gone)
    assert (await one.delete("/collections/staff")).status_code == 204

    async def is_unknown() -> bool:
        return await found(other, picture("obama2"), collection="staff") is None

    await soon(is_unknown)


async def test_a_subscription_that_was_cut_comes_back_and_with_it_what_was_missed(
    deaf_but_for_redis: Pair, picture: Picture, own_redis: Valkey
) -> None:
    one, other = deaf_but_for_redis
    with own_redis.client() as redis:
        assert redis.client_kill_filter(_type="pubsub") == 2
        subject_id = await enrol(one, picture("obama"))

        async def is_there() -> bool:
            return await found(other, picture("obama2")) == [subject_id]

        await soon(is_there)
    await soon(partial(both_hear, own_redis))


async def test_notices_of_strangers_do_nothing(
    deaf_but_for_redis: Pair, picture: Picture, own_redis: Valkey
) -> None:
    one, other = deaf_but_for_redis
    with own_redis.client() as redis:
        for notice in (b"", b"\xff\xfe", b"x 1", b"0 0", b"9d6c2c3e-7d5f-4a3c-9a53-0d0f6f8f2b11 7"):
            assert redis.publish(CHANNEL, notice) == 2
        collection_id = b"9d6c2c3e-7d5f-4a3c-9a53-0d0f6f8f2b11"
        redis.publish(CHANNEL, collection_id)
    subject_id = await enrol(one, picture("obama"))

    async def is_there() -> bool:
        return await found(other, picture("obama2")) == [subject_id]

    await soon(is_there)


@pytest.mark.slow
async def test_without_redis_nothing_is_lost_nor_delayed_and_it_is_said_once(
    pair: Pair, picture: Picture, own_redis: Valkey, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = pair
    configure_logs("INFO")  # to the stream that is captured
    own_redis.process.kill()
    first = await enrol(one, picture("obama"))
    begun = monotonic()
    second = await enrol(one, picture("biden"))
    assert monotonic() - begun < AT_ONCE_S

    async def are_there() -> bool:
        return set(await found(other, picture("obama2")) or ()) == {first, second}

    await soon(are_there)
    await asyncio.sleep(1.5)
    await asyncio.to_thread(own_redis.start)
    await soon(partial(both_hear, own_redis))
    third = await enrol(one, picture("astronaut"))

    async def is_there() -> bool:
        return third in (await found(other, picture("obama2")) or ())

    await soon(is_there)
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    for event in ("changes_not_heard", "changes_heard_again"):
        assert events.count(event) == 2, event  # of each service
    for event in ("changes_not_published", "changes_published_again"):
        assert events.count(event) == 1, event  # of the one that writes


@pytest.mark.slow
async def test_a_redis_that_stands_still_holds_no_write_up(
    pair: Pair, picture: Picture, own_redis: Valkey
) -> None:
    one, other = pair
    own_redis.process.freeze()
    try:
        subject_id = await enrol(one, picture("obama"))

        async def is_there() -> bool:
            return await found(other, picture("obama2")) == [subject_id]

        await soon(is_there)
    finally:
        own_redis.process.thaw()
