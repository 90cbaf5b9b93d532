"""Two replicas on one database, each with a data directory of its own, and a store between them."""

import asyncio
import resource
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from threading import Event
from uuid import UUID

import psycopg
import pytest
from httpx import AsyncClient
from pydantic import SecretStr

from app.bundles import grace, keeper, sharing
from app.bundles.store import BundleStore
from app.erasures import repository as erasures
from app.gallery import follower
from app.main import create_app
from app.services import Services
from app.settings import Settings
from models.identifier import QueryPath
from tests.app.bundles.conftest import publish_drawn, take_up_subjects, training_elsewhere
from tests.app.bundles.stores import s3_server, use_s3
from tests.app.conftest import client_of

KEY = SecretStr(b64encode(bytes(32)).decode())

Replica = tuple[AsyncClient, Services]
Start = Callable[[str], Awaitable[Replica]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grace, "GRACE_S", 0.2)
    monkeypatch.setattr(keeper, "STORE_EVERY_S", 0.1)
    monkeypatch.setattr(keeper, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(follower, "POLL_S", 0.1)
    monkeypatch.setattr(sharing, "FIRST_WAIT_S", 0.1)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "folder":
        return str(tmp_path / "store")
    return f"{use_s3(request.getfixturevalue('endpoint'), monkeypatch)}/{tmp_path.name}"


@pytest.fixture
async def start(settings: Settings, query_path: QueryPath, url: str) -> AsyncIterator[Start]:
    """Start a replica by its name; all of them end with the test."""
    keys: list[Settings] = []

    @asynccontextmanager
    async def replica(name: str) -> AsyncIterator[Replica]:
        own = settings.model_copy(
            update={
                "data_dir": settings.data_dir.with_name(name),
                "bundle_store": SecretStr(url),
                "encryption_key": KEY,
                "bundles_kept": 2,
            }
        )
        keys.append(own)
        app = create_app(own, open_path=lambda _: query_path)
        async with app.router.lifespan_context(app), client_of(app, keys[0]) as client:
            yield client, app.state.services

    async with AsyncExitStack() as stack:
        yield lambda name: stack.enter_async_context(replica(name))


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.05)


async def publish(services: Services, subjects: Sequence[UUID], folder: Path, weight: float) -> str:
    """Publish while a training is under way, as it always is: what it makes is left alone."""
    async with training_elsewhere(services.database.address):
        return await publish_drawn(services, subjects, folder, weight)


async def until_no_receipt_is_open(client: AsyncClient) -> None:
    async with asyncio.timeout(10):
        while (await client.get("/admin/erasures", params={"open": True})).json()["erasures"]:
            await asyncio.sleep(0.1)


def active(services: Services) -> str | None:
    return services.galleries.find("default").bundle_id


def store_of(services: Services) -> BundleStore:
    store = services.bundles.files.store
    assert store is not None
    return store


def cached(services: Services) -> set[str]:
    folder = services.bundles.files.folder
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


async def test_a_published_bundle_reaches_all_replicas_and_late_ones(
    start: Start, tmp_path: Path
) -> None:
    (client, first), (other_client, second) = await start("a"), await start("b")
    subjects = await take_up_subjects(first)
    made = await publish(first, subjects, tmp_path, 0.1)
    assert store_of(first).names() == {made}
    await until(lambda: active(second) == made)
    assert cached(second) == {made}
    report = await other_client.get(f"/admin/bundles/{made}/report")
    assert report.text == (await client.get(f"/admin/bundles/{made}/report")).text
    shown = (await other_client.get(f"/admin/bundles/{made}")).json()
    assert shown["manifest"]["id"] == made
    _, late = await start("c")
    assert active(late) == made


async def test_going_back_works_on_a_replica_that_never_had_the_bundle(
    start: Start, tmp_path: Path
) -> None:
    _, first = await start("a")
    subjects = await take_up_subjects(first)
    one = await publish(first, subjects, tmp_path, 0.1)
    two = await publish(first, subjects, tmp_path, 0.3)
    client, second = await start("b")
    assert active(second) == two
    assert (await client.post(f"/admin/bundles/{one}/activate")).status_code == 200
    assert active(second) == one
    await until(lambda: active(first) == one)


async def test_a_deleted_bundle_leaves_the_store_and_every_cache(
    start: Start, tmp_path: Path
) -> None:
    (client, first), (_, second) = await start("a"), await start("b")
    subjects = await take_up_subjects(first)
    one = await publish(first, subjects, tmp_path, 0.1)
    two = await publish(first, subjects, tmp_path, 0.3)
    await until(lambda: cached(second) == {one, two})
    assert (await client.delete(f"/admin/bundles/{one}")).status_code == 204
    await until(lambda: store_of(first).names() == {two})
    await until(lambda: cached(first) == cached(second) == {two})


async def all_are_noted(connection: psycopg.AsyncConnection[tuple[object, ...]]) -> bool:
    """Whether it is noted of each bundle with traces when the caches will be clear of it."""
    found = await connection.execute("SELECT bool_and(cleared_at IS NOT NULL) FROM erasure_bundles")
    return await found.fetchone() == (True,)


async def test_the_receipt_of_an_erasure_waits_for_the_caches(
    start: Start, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "CACHES_CLEARED_S", 3600.0)
    (client, first), (_, second) = await start("a"), await start("b")
    subjects = await take_up_subjects(first)
    one = await publish(first, subjects, tmp_path, 0.1)
    assert (await client.delete(f"/subjects/{subjects[0]}")).is_success
    receipts = (await client.get("/admin/erasures")).json()["erasures"]
    assert [each["bundle_id"] for each in receipts[0]["bundles"]] == [one]
    two = await publish(first, subjects[1:], tmp_path, 0.3)
    await until(lambda: active(second) == two)
    await client.delete(f"/admin/bundles/{one}")  # which the service may have done by itself
    await until(lambda: cached(second) == {two})
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        async with asyncio.timeout(20):
            while not await all_are_noted(connection):
                await asyncio.sleep(0.05)
        receipt = (await client.get("/admin/erasures")).json()["erasures"][0]
        assert receipt["completed_at"] is receipt["bundles"][0]["cleared_at"] is None
        assert (await client.get("/admin/erasures", params={"open": True})).json()["erasures"]
        await connection.execute(
            "UPDATE erasure_bundles SET cleared_at = cleared_at - interval '1 hour'"
        )
    await until_no_receipt_is_open(client)
    receipt = (await client.get("/admin/erasures")).json()["erasures"][0]
    assert receipt["completed_at"] == receipt["bundles"][0]["cleared_at"] is not None


async def test_who_writes_does_not_wait_for_a_store_that_hangs_and_a_receipt_does(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "CACHES_CLEARED_S", 0.0)
    client, services = await start("a")
    subjects = await take_up_subjects(services)
    one = await publish(services, subjects, tmp_path, 0.1)
    await client.delete(f"/subjects/{subjects[0]}")
    hanging, delete = Event(), BundleStore.delete

    def delete_late(store: BundleStore, bundle_id: str) -> None:
        hanging.wait(60)
        delete(store, bundle_id)

    async def open_ones() -> list[list[str]]:
        answer = await client.get("/admin/erasures", params={"open": True})
        return [[of["bundle_id"] for of in each["bundles"]] for each in answer.json()["erasures"]]

    monkeypatch.setattr(BundleStore, "delete", delete_late)
    two = await publish(services, subjects[1:], tmp_path, 0.3)
    async with asyncio.timeout(30):
        # By this request, or by itself.
        assert (await client.delete(f"/admin/bundles/{one}")).status_code in (204, 404)
        assert (await client.delete(f"/subjects/{subjects[1]}")).is_success
        assert await open_ones() == [[one], [two]]
        assert (await client.delete("/collections/default")).status_code == 204
        assert await open_ones() == [[one], [two], *[[two]] * (len(subjects) - 2)]
    await until(lambda: cached(services) == set())
    assert store_of(services).names() == {one, two}
    hanging.set()
    await until_no_receipt_is_open(client)
    assert store_of(services).names() == set()


async def test_a_kill_between_a_bundles_row_and_the_store_leaves_nothing(
    start: Start, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "CACHES_CLEARED_S", 0.0)
    client, services = await start("a")
    subjects = await take_up_subjects(services)
    one = await publish(services, subjects, tmp_path, 0.1)
    await client.delete(f"/subjects/{subjects[0]}")
    two = await publish(services, subjects[1:], tmp_path, 0.3)
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM bundles WHERE id = %s", [one])
    await until(lambda: store_of(services).names() == {two})
    await until_no_receipt_is_open(client)


async def test_a_damaged_cache_is_fetched_again(start: Start, tmp_path: Path) -> None:
    client, first = await start("a")
    subjects = await take_up_subjects(first)
    one = await publish(first, subjects, tmp_path, 0.1)
    await publish(first, subjects, tmp_path, 0.3)
    (first.bundles.files.bundle(one) / "class_means.f16").write_bytes(b"0")
    assert (await client.post(f"/admin/bundles/{one}/activate")).status_code == 200
    assert first.bundles.files.is_sound(one)


async def test_the_bundles_of_a_deleted_collection_go_everywhere(
    start: Start, tmp_path: Path
) -> None:
    (client, first), (_, second) = await start("a"), await start("b")
    made = await publish(first, await take_up_subjects(first), tmp_path, 0.1)
    await until(lambda: cached(second) == {made})
    assert (await client.delete("/collections/default")).status_code == 204
    await until(lambda: store_of(first).names() == set())
    await until(lambda: cached(first) == cached(second) == set())


async def test_what_a_killed_publication_left_in_the_store_goes_when_its_training_is_over(
    start: Start, tmp_path: Path, database_url: str
) -> None:
    _, first = await start("a")
    made = await publish(first, await take_up_subjects(first), tmp_path, 0.1)
    async with training_elsewhere(database_url):
        # It has put its bundle there and is about to publish it.
        store_of(first).put(first.bundles.files.place(made), "0" * 64)
        await asyncio.sleep(1.0)
        assert store_of(first).names() == {made, "0" * 64}
    await until(lambda: store_of(first).names() == {made})


async def test_bundles_from_before_the_store_are_put_there(
    start: Start, settings: Settings, query_path: QueryPath, tmp_path: Path
) -> None:
    own = settings.model_copy(
        update={"data_dir": settings.data_dir.with_name("a"), "encryption_key": KEY}
    )
    app = create_app(own, open_path=lambda _: query_path)
    async with app.router.lifespan_context(app):
        services = app.state.services
        made = await publish(services, await take_up_subjects(services), tmp_path, 0.1)
    _, first = await start("a")
    store = store_of(first)
    await until(lambda: store.filesystem.exists(store._manifest(made)))  # the last file of it
    assert store.names() == {made}
    _, second = await start("b")
    assert active(second) == made


async def test_a_full_disk_leaves_what_was_active_and_mends_itself(
    start: Start, tmp_path: Path
) -> None:
    (_, first), (_, second) = await start("a"), await start("b")
    subjects = await take_up_subjects(first)
    made = await publish(first, subjects, tmp_path, 0.1)
    await until(lambda: active(second) == made)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    second.bundles.files.delete(made)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        await asyncio.sleep(1.0)
        assert active(second) == made
        assert made not in cached(second)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await until(lambda: cached(second) == {made})
    assert second.bundles.files.is_sound(made)


@pytest.mark.slow
async def test_a_server_that_is_away_is_waited_for(
    settings: Settings, query_path: QueryPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as endpoint:
        url = SecretStr(use_s3(endpoint, monkeypatch))
        own = settings.model_copy(update={"bundle_store": url})
        app = create_app(own, open_path=lambda _: query_path)
        context = app.router.lifespan_context(app)
        await context.__aenter__()
        services: Services = app.state.services
        subjects = await take_up_subjects(services)
        one = await publish_drawn(services, subjects, tmp_path, 0.1)
        two = await publish_drawn(services, subjects, tmp_path, 0.3)
    try:
        async with client_of(app, own) as client:
            publishing = asyncio.create_task(publish_drawn(services, subjects, tmp_path, 0.5))
            assert (await client.delete(f"/admin/bundles/{one}")).status_code == 204
            assert one not in cached(services)
            assert two in cached(services)
            assert not publishing.done()
            assert active(services) == two
            with s3_server(port=int(endpoint.rsplit(":", 1)[1])):
                three = await publishing
                assert active(services) == three
                await until(lambda: store_of(services).names() == {two, three})
                assert (await client.delete("/collections/default")).status_code == 204
                await until(lambda: store_of(services).names() == set())
    finally:
        await context.__aexit__(None, None, None)


async def test_who_starts_while_the_store_is_away_takes_the_bundle_up_later(
    settings: Settings, query_path: QueryPath, tmp_path: Path
) -> None:
    store, away = tmp_path / "store", tmp_path / "away"
    async with AsyncExitStack() as stack:
        replicas = []
        for name in ("a", "b"):
            own = settings.model_copy(
                update={
                    "data_dir": settings.data_dir.with_name(name),
                    "bundle_store": SecretStr(str(store)),
                    "encryption_key": KEY,
                }
            )
            app = create_app(own, open_path=lambda _: query_path)
            await stack.enter_async_context(app.router.lifespan_context(app))
            replicas.append(app.state.services)
            if name == "a":
                subjects = await take_up_subjects(app.state.services)
                made = await publish_drawn(app.state.services, subjects, tmp_path, 0.1)
                store.rename(away)
        first, second = replicas
        await asyncio.sleep(0.5)
        assert (active(first), active(second)) == (made, None)
        away.rename(store)
        await until(lambda: active(second) == made)
