import asyncio
from collections.abc import Callable

import psycopg
import pytest
from httpx import AsyncClient

from models.identifier import QueryPath

Picture = Callable[[str], bytes]


async def enrol(client: AsyncClient, picture: bytes, **data: str) -> str:
    answer = await client.post("/enroll", files={"images": ("x.jpg", picture)}, data=data)
    assert answer.status_code == 201, answer.text
    subject_id: str = answer.json()["subject"]["subject_id"]
    return subject_id


async def test_the_default_collection_is_there(client: AsyncClient, query_path: QueryPath) -> None:
    (default,) = (await client.get("/collections")).json()["collections"]
    manifest = query_path.embedder.manifest
    assert default | {"created_at": ""} == {
        "name": "default",
        "embedder": {"name": manifest.name, "sha256": manifest.sha256},
        "subject_count": 0,
        "sample_count": 0,
        "picture_count": 0,
        "keep_pictures": False,
        "picture_days": None,
        "subject_days": None,
        "revision": 0,
        "gallery": {"revision": 0, "subject_count": 0},
        "created_at": "",
    }


async def test_a_collection_is_made_filled_shown_and_deleted(
    client: AsyncClient, picture: Picture, rows: Callable[[], dict[str, int]]
) -> None:
    before = rows()
    made = await client.post("/collections", json={"name": "staff"})
    assert made.status_code == 201
    subject_id = await enrol(client, picture("obama2"), collection="staff")

    shown = (await client.get("/collections/staff")).json()
    assert (shown["subject_count"], shown["sample_count"], shown["revision"]) == (1, 1, 1)
    assert shown["gallery"] == {"revision": 1, "subject_count": 1}
    listed = (await client.get("/collections")).json()["collections"]
    assert [each["name"] for each in listed] == ["default", "staff"]
    assert shown in listed

    assert (await client.delete("/collections/staff")).status_code == 204
    assert (await client.get("/collections/staff")).status_code == 404
    assert (await client.get(f"/subjects/{subject_id}")).status_code == 404
    probe = {"image": ("x", picture("obama3"))}
    gone = await client.post("/identify", files=probe, data={"collection": "staff"})
    assert (gone.status_code, gone.json()["code"]) == (404, "collection_not_found")
    assert rows() == before


async def test_what_a_collection_keeps_is_said_when_it_is_made_and_changed(
    client: AsyncClient,
) -> None:
    told: dict[str, object] = {"keep_pictures": True, "picture_days": 30, "subject_days": 365}
    made = (await client.post("/collections", json={"name": "staff", **told})).json()
    assert told.items() <= made.items()
    changed = await client.patch("/collections/staff", json={"picture_days": None})
    assert changed.status_code == 200
    told["picture_days"] = None
    assert told.items() <= changed.json().items()
    assert (await client.patch("/collections/staff", json={})).json() == changed.json()
    assert (await client.get("/collections/staff")).json() == changed.json()
    unknown = await client.patch("/collections/none", json={})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "collection_not_found")


async def test_emptied_the_default_collection_keeps_what_it_was_told(client: AsyncClient) -> None:
    told = {"keep_pictures": True, "picture_days": 1, "subject_days": 2}
    await client.patch("/collections/default", json=told)
    assert (await client.delete("/collections/default")).status_code == 204
    assert told.items() <= (await client.get("/collections/default")).json().items()


@pytest.mark.parametrize(
    "change",
    [
        {"keep_pictures": None},
        {"keep_pictures": "yes"},
        {"picture_days": 0},
        {"picture_days": 1.5},
        {"subject_days": -1},
        {"subject_days": 36_501},
        {"name": "other"},
    ],
)
async def test_changes_that_are_none(client: AsyncClient, change: dict[str, object]) -> None:
    answer = await client.patch("/collections/default", json=change)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_change_waits_for_enrolments_that_follow_what_was_said_before(
    client: AsyncClient, database_url: str
) -> None:
    with psycopg.connect(database_url) as enrolling:
        # As `lock_collection` of app/gallery/repository.py.
        enrolling.execute("SELECT FROM collections FOR KEY SHARE")
        changing = asyncio.create_task(
            client.patch("/collections/default", json={"keep_pictures": True})
        )
        await asyncio.sleep(0.3)
        assert not changing.done()
    assert (await changing).status_code == 200


async def test_collections_do_not_see_each_other(client: AsyncClient, picture: Picture) -> None:
    await client.post("/collections", json={"name": "other"})
    await enrol(client, picture("obama2"), name="here", external_id="x")
    await enrol(client, picture("obama2"), name="there", external_id="x", collection="other")
    for collection, name in (("default", "here"), ("other", "there")):
        answer = await client.post(
            "/identify",
            files={"image": ("x", picture("obama3"))},
            data={"collection": collection},
        )
        (face,) = answer.json()["faces"]
        assert [each["name"] for each in face["candidates"]] == [name]
        listed = await client.get("/subjects", params={"collection": collection})
        assert [each["name"] for each in listed.json()["subjects"]] == [name]


async def test_the_default_collection_is_emptied_by_deleting_it(
    client: AsyncClient, picture: Picture
) -> None:
    await enrol(client, picture("obama2"))
    assert (await client.delete("/collections/default")).status_code == 204
    answer = await client.post("/identify", files={"image": ("x", picture("obama3"))})
    assert answer.json()["faces"][0]["candidates"] == []
    await enrol(client, picture("obama2"))


async def test_a_name_is_given_once(client: AsyncClient) -> None:
    answers = await asyncio.gather(
        *(client.post("/collections", json={"name": "one"}) for _ in range(4))
    )
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409]


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "-a", "ä", "x" * 64, "a\n"])
async def test_names_that_are_no_names(client: AsyncClient, name: str) -> None:
    answer = await client.post("/collections", json={"name": name})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_an_enrolment_into_a_collection_that_is_deleted_meanwhile_stores_nothing(
    client: AsyncClient, picture: Picture, rows: Callable[[], dict[str, int]]
) -> None:
    await client.post("/collections", json={"name": "brief"})
    enrolments = [
        asyncio.create_task(
            client.post(
                "/enroll",
                files={"images": ("x", picture("obama2"))},
                data={"collection": "brief", "allow_conflict": "true"},
            )
        )
        for _ in range(4)
    ]
    await asyncio.sleep(0.05)
    assert (await client.delete("/collections/brief")).status_code == 204
    for answer in await asyncio.gather(*enrolments):
        assert answer.status_code in (201, 404)
    stored = rows()
    assert (stored["subjects"], stored["samples"], stored["variants"]) == (0, 0, 0)
