"""Two services on one database, and one that could not follow its own write."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import psycopg
import pytest
from httpx import AsyncClient

from app.collections.repository import insert_if_new
from app.database import Database
from app.gallery import follower
from app.logs import configure_logs
from app.settings import Settings
from app.tables import CollectionRow
from models.zoo import EmbedderManifest
from tests.app.gallery.stored import galleries_on, templates, write_subject

Picture = Callable[[str], bytes]
Serve = Callable[[Settings], AbstractAsyncContextManager[AsyncClient]]
Pair = tuple[AsyncClient, AsyncClient]

SOON_S = 10 * follower.POLL_S


@pytest.fixture
async def pair(serve: Serve, settings: Settings) -> AsyncIterator[Pair]:
    async with serve(settings) as one, serve(settings) as other:
        yield one, other


async def soon(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return when something has come true."""
    async with asyncio.timeout(SOON_S):
        while not await holds():
            await asyncio.sleep(0.05)


async def enrol(client: AsyncClient, picture: bytes, **data: str) -> str:
    answer = await client.post("/enroll", files={"images": ("x.jpg", picture)}, data=data)
    assert answer.status_code == 201, answer.text
    subject_id: str = answer.json()["subject"]["subject_id"]
    return subject_id


async def found(client: AsyncClient, picture: bytes, **data: str) -> list[str] | None:
    """Whom a picture is taken for; None if there is no such collection."""
    answer = await client.post("/identify", files={"image": ("x.jpg", picture)}, data=data)
    if answer.status_code == 404:
        return None
    return [each["subject_id"] for each in answer.json()["faces"][0]["candidates"]]


async def test_what_one_service_writes_the_other_finds(pair: Pair, picture: Picture) -> None:
    one, other = pair
    probe = picture("obama2")
    subject_id = await enrol(one, picture("obama"))

    async def is_there() -> bool:
        return await found(other, probe) == [subject_id]

    async def is_gone() -> bool:
        return await found(other, probe) == []

    await soon(is_there)
    assert (await one.delete(f"/subjects/{subject_id}")).status_code == 204
    await soon(is_gone)


async def test_collections_come_and_go(pair: Pair, picture: Picture) -> None:
    one, other = pair
    probe = picture("obama2")
    assert (await one.post("/collections", json={"name": "staff"})).status_code == 201
    subject_id = await enrol(one, picture("obama"), collection="staff")

    async def is_there() -> bool:
        return await found(other, probe, collection="staff") == [subject_id]

    async def is_gone() -> bool:
        return await found(other, probe, collection="staff") is None

    await soon(is_there)
    assert (await one.delete("/collections/staff")).status_code == 204
    await soon(is_gone)


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
async def test_whoever_is_told_that_a_subject_is_gone_finds_it_no_more(
    serve: Serve,
    settings: Settings,
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    monkeypatch.setattr(follower, "POLL_S", 600)  # as good as never; read as a service starts
    async with serve(settings) as one:
        subject_id = await enrol(one, picture("obama"))
        async with serve(settings) as other:
            assert (await one.delete(f"/subjects/{subject_id}")).status_code == 204
            assert await found(other, picture("obama2")) == [subject_id]

            answer = await other.request(method, f"/subjects/{subject_id}", json={})

            assert (answer.status_code, answer.json()["code"]) == (404, "subject_not_found")
            assert await found(other, picture("obama2")) == []


@asynccontextmanager
async def galleries_unreadable_after_a_write(database_url: str) -> AsyncIterator[None]:
    """Commit every write of the feed, but let nobody read a gallery from then on."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            "CREATE FUNCTION hide() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN ALTER TABLE feedback RENAME TO hidden; RETURN NULL; END'"
        )
        await connection.execute(
            "CREATE TRIGGER hide AFTER INSERT ON changes EXECUTE FUNCTION hide()"
        )
        try:
            yield
        finally:
            await connection.execute("DROP FUNCTION hide CASCADE")
            await connection.execute("ALTER TABLE IF EXISTS hidden RENAME TO feedback")


async def test_a_gallery_that_could_not_follow_a_deletion_is_healed(
    client: AsyncClient,
    picture: Picture,
    database_url: str,
    rows: Callable[[], dict[str, int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("INFO")  # to the stream that is captured
    subject_id = await enrol(client, picture("obama"))
    async with galleries_unreadable_after_a_write(database_url):
        assert (await client.delete(f"/subjects/{subject_id}")).status_code == 500
        await asyncio.sleep(2.5 * follower.POLL_S)
        assert await found(client, picture("obama2")) == [subject_id]
    assert rows()["subjects"] == 0  # the deletion itself was committed

    async def is_gone() -> bool:
        return await found(client, picture("obama2")) == []

    await soon(is_gone)
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events.count("galleries_not_refreshed") == 1  # not once a second
    assert events.count("galleries_refreshed_again") == 1


async def test_the_follower_outlives_its_connections(
    pair: Pair, picture: Picture, database_url: str
) -> None:
    one, other = pair
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    subject_id = await enrol(one, picture("obama"))

    async def is_there() -> bool:
        return await found(other, picture("obama2")) == [subject_id]

    await soon(is_there)


async def test_a_collection_that_takes_long_keeps_no_other_back(
    wide_database: Database,
    embedder: EmbedderManifest,
    collection: CollectionRow,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(follower, "POLL_S", 0.05)
    async with wide_database.transaction() as session:
        other = await insert_if_new(session, name="d", embedder=embedder)
    assert other is not None
    galleries = galleries_on(wide_database, embedder)
    await galleries.refresh()

    def follows(name: str, revision: int) -> Callable[[], Awaitable[bool]]:
        async def is_seen() -> bool:
            return galleries.find(name).gallery.revision == revision

        return is_seen

    async with follower.following(galleries):
        async with galleries._locks[collection.id]:  # as while it is read whole
            await write_subject(wide_database, collection, templates(1))
            for revision in (1, 2, 3):
                await write_subject(wide_database, other, templates(1))
                await soon(follows("d", revision))
            assert galleries.find("c").gallery.revision == 0
        await soon(follows("c", 1))
