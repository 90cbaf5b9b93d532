"""The loop in a running service: begins by itself, goes on after an error, ends with it."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from app.main import create_app
from app.retention import keeper
from app.services import Services
from app.settings import Settings
from models.identifier import QueryPath
from tests.app import traces
from tests.app.conftest import client_of
from tests.app.subjects.test_service import Picture, enrol

FIRST_AFTER_S, EVERY_S = 0.5, 0.2


@pytest.fixture
async def app(
    settings: Settings, query_path: QueryPath, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FastAPI]:
    """A service that purges often."""
    monkeypatch.setattr(keeper, "FIRST_AFTER_S", FIRST_AFTER_S)
    monkeypatch.setattr(keeper, "EVERY_S", EVERY_S)
    app = create_app(settings, open_path=lambda _: query_path)
    async with app.router.lifespan_context(app):
        yield app


async def until_gone(client: AsyncClient, subject_id: str) -> None:
    async with asyncio.timeout(20):
        while (await client.get(f"/subjects/{subject_id}")).status_code != 404:
            await asyncio.sleep(0.1)


def make_older(database_url: str, days: int) -> None:
    with psycopg.connect(database_url) as connection:
        for table in ("subjects", "samples"):
            connection.execute(
                f"UPDATE {table} SET created_at = created_at - make_interval(days => %s)",  # noqa: S608
                [days],
            )


async def test_it_purges_by_itself_on_and_on(
    client: AsyncClient, picture: Picture, database_url: str
) -> None:
    await client.patch("/collections/default", json={"subject_days": 30})
    for name in ("obama2", "biden"):
        subject_id = (await enrol(client, picture(name)))["subject_id"]
        make_older(database_url, 31)
        await until_gone(client, subject_id)


async def test_an_error_does_not_end_it(
    client: AsyncClient,
    app: FastAPI,
    picture: Picture,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    services: Services = app.state.services
    really_forget = services.galleries.forget_deleted
    failed = asyncio.Event()

    async def fail_once() -> None:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("once")
        await really_forget()

    monkeypatch.setattr(services.galleries, "forget_deleted", fail_once)
    async with asyncio.timeout(20):
        await failed.wait()
    assert "not_purged" in caplog.text
    await client.patch("/collections/default", json={"subject_days": 30})
    subject_id = (await enrol(client, picture("obama2")))["subject_id"]
    make_older(database_url, 31)
    await until_gone(client, subject_id)


async def test_what_was_deleted_leaves_the_memory_though_the_gallery_only_hides_it(
    settings: Settings, query_path: QueryPath, picture: Picture
) -> None:
    app = create_app(settings, open_path=lambda _: query_path)
    async with app.router.lifespan_context(app), client_of(app, settings) as client:
        services: Services = app.state.services
        subject_id = (await enrol(client, picture("obama2"), external_id="ext-1"))["subject_id"]
        # From here on the subject is in a layer that a deletion only hides it in.
        live = services.galleries.find("default")
        await services.galleries._swap(live.collection_id, None)
        template = services.galleries.find("default").gallery.templates_of(UUID(subject_id))[0]
        known = {"template": traces.of_template(template), "id": traces.of_uuid(subject_id)}
        await client.get("/subjects", params={"external_id": "ext-1"})
        del live, template
        await client.delete(f"/subjects/{subject_id}")
        assert traces.found(known, traces.in_memory(app))
        await keeper.forget_in_memory(services)
        known["external id"] = traces.of_text("ext-1")
        assert not traces.found(known, traces.in_memory(app))
        assert not services.galleries.find("default").hides_deleted
