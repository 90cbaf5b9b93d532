import asyncio
from collections.abc import Callable
from typing import Any

from httpx import AsyncClient

from app.settings import Settings
from tests.app.embedders.conftest import Start, both, enrol, other_embedder, start, who
from tests.app.embedders.other import NAME

__all__ = ["both", "other_embedder", "start"]  # fixtures

Picture = Callable[[str], bytes]
DEFAULT = "mobilefacenet-192"


async def switch(client: AsyncClient, name: str, other: str) -> Any:
    return await client.post(f"/admin/collections/{name}/switch", json={"with": other})


async def fill(client: AsyncClient, picture: Picture) -> None:
    """Two collections that call the same person otherwise."""
    await client.post("/collections", json={"name": "beside", "embedder": NAME})
    await enrol(client, picture("obama"), external_id="then")
    await enrol(client, picture("biden"), external_id="b")
    await enrol(client, picture("obama"), external_id="now", collection="beside")


async def test_a_collection_takes_the_place_of_another(
    start: Start, both: Settings, picture: Picture
) -> None:
    (client, _), (second, _) = await start(both), await start(both)
    await fill(client, picture)
    assert await who(client, picture("obama2")) == (DEFAULT, "then")
    before = (await client.get("/collections/default")).json()
    answer = await switch(client, "default", "beside")
    assert answer.status_code == 200
    shown = {each["name"]: each for each in answer.json()["collections"]}
    assert shown["default"]["embedder"]["name"] == NAME
    assert shown["beside"]["embedder"]["name"] == DEFAULT
    # Who has named a revision under a name has not to wait for it for ever.
    assert shown["default"]["gallery"]["revision"] > before["revision"]
    assert await who(client, picture("obama2")) == (NAME, "now")
    assert await who(client, picture("obama2"), collection="beside") == (DEFAULT, "then")
    for expected, collection in (((NAME, "now"), "default"), ((DEFAULT, "then"), "beside")):
        async with asyncio.timeout(10):
            while await who(second, picture("obama2"), collection=collection) != expected:
                await asyncio.sleep(0.05)
    await enrol(client, picture("biden"), external_id="b2", allow_conflict="true")
    listed = {
        each["name"]: each for each in (await client.get("/collections")).json()["collections"]
    }
    assert listed["default"]["subject_count"] == listed["beside"]["subject_count"] == 2
    assert (await client.delete("/collections/beside")).status_code == 204
    assert await who(client, picture("obama2")) == (NAME, "now")


async def test_nobody_is_without_an_answer_meanwhile(
    start: Start, both: Settings, picture: Picture
) -> None:
    (client, _), (second, others) = await start(both), await start(both)
    await fill(client, picture)
    await others.galleries.refresh()
    ends = asyncio.Event()

    async def ask(asked: AsyncClient) -> None:
        while not ends.is_set():
            assert await who(asked, picture("obama2")) in {(DEFAULT, "then"), (NAME, "now")}

    async with asyncio.TaskGroup() as group:
        group.create_task(ask(client))
        group.create_task(ask(second))
        for _ in range(4):
            await asyncio.sleep(0.3)
            answer = await switch(client, "default", "beside")
            assert answer.status_code == 200
        [last] = [
            each["gallery"]["revision"]
            for each in answer.json()["collections"]
            if each["name"] == "default"
        ]
        async with asyncio.timeout(20):
            while others.galleries.find("default").gallery.revision < last:
                await asyncio.sleep(0.05)
        ends.set()
    assert await who(second, picture("obama2")) == (DEFAULT, "then")


async def test_switches_at_once_go_one_after_the_other(
    start: Start, both: Settings, picture: Picture
) -> None:
    client, _ = await start(both)
    await fill(client, picture)
    answers = await asyncio.gather(
        *(switch(client, *names) for names in [("default", "beside"), ("beside", "default")] * 3)
    )
    assert {answer.status_code for answer in answers} == {200}
    assert await who(client, picture("obama2")) == (DEFAULT, "then")


async def test_what_is_refused(client: AsyncClient) -> None:
    await client.post("/collections", json={"name": "beside"})
    for name, other, status, code in (
        ("default", "default", 422, "fields_not_allowed"),
        ("default", "nobodys", 404, "collection_not_found"),
        ("nobodys", "default", 404, "collection_not_found"),
    ):
        answer = await switch(client, name, other)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
