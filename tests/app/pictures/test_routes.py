"""Kept pictures over HTTP: only where the collection asks, sealed, and gone when they should be."""

from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from app.keys.service import create_key
from tests.app.subjects.test_service import UNKNOWN_ID, Picture, enrol


@pytest.fixture
async def keeping(client: AsyncClient) -> AsyncClient:
    """A client whose default collection keeps pictures."""
    answer = await client.patch("/collections/default", json={"keep_pictures": True})
    assert answer.json()["keep_pictures"] is True
    return client


async def samples_of(client: AsyncClient, subject_id: str) -> list[dict[str, Any]]:
    samples: list[dict[str, Any]] = (await client.get(f"/subjects/{subject_id}")).json()["samples"]
    return samples


async def picture_path(client: AsyncClient, subject_id: str) -> str:
    (sample,) = await samples_of(client, subject_id)
    return f"/subjects/{subject_id}/samples/{sample['sample_id']}/picture"


async def picture_count(client: AsyncClient) -> int:
    count: int = (await client.get("/collections/default")).json()["picture_count"]
    return count


async def test_pictures_are_not_kept_unless_the_collection_asks(
    client: AsyncClient, picture: Picture, database_url: str
) -> None:
    subject_id = (await enrol(client, picture("obama2")))["subject_id"]
    (sample,) = await samples_of(client, subject_id)
    assert sample["picture_kept"] is False
    answer = await client.get(await picture_path(client, subject_id))
    assert (answer.status_code, answer.json()["code"]) == (404, "picture_not_found")
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT FROM pictures").fetchall() == []


async def test_a_kept_picture_is_given_back_as_it_came(
    keeping: AsyncClient, picture: Picture
) -> None:
    subject_id = (await enrol(keeping, picture("obama2")))["subject_id"]
    (sample,) = await samples_of(keeping, subject_id)
    assert sample["picture_kept"] is True
    answer = await keeping.get(await picture_path(keeping, subject_id))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert answer.content == picture("obama2")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Disposition"] == "attachment"
    assert await picture_count(keeping) == 1


async def test_only_pictures_of_samples_are_kept(
    keeping: AsyncClient, picture: Picture, database_url: str
) -> None:
    await enrol(keeping, picture("obama2"), picture("biden"), picture("obama2"))
    assert await picture_count(keeping) == 1
    refused = await keeping.post("/enroll", files={"images": ("x", b"no picture")})
    assert refused.status_code == 422
    assert await picture_count(keeping) == 1


async def test_a_kept_picture_lies_sealed_and_is_of_one_sample_only(
    keeping: AsyncClient, app: FastAPI, picture: Picture, database_url: str
) -> None:
    first = (await enrol(keeping, picture("obama2")))["subject_id"]
    second = (await enrol(keeping, picture("biden")))["subject_id"]
    with psycopg.connect(database_url) as connection:
        stored = [content for (content,) in connection.execute("SELECT content FROM pictures")]
        assert not [each for each in stored if each[:3] == b"\xff\xd8\xff"]
        assert not [each for each in stored if picture("biden")[100:200] in each]
        connection.execute(
            "UPDATE pictures SET content = other.content FROM pictures other"
            " WHERE pictures.sample_id <> other.sample_id"
        )
    for subject_id in (first, second):
        answer = await keeping.get(await picture_path(keeping, subject_id))
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


async def test_turned_off_no_more_are_kept_and_those_there_are_stay_until_they_are_deleted(
    keeping: AsyncClient, picture: Picture
) -> None:
    before = (await enrol(keeping, picture("obama2")))["subject_id"]
    await keeping.patch("/collections/default", json={"keep_pictures": False})
    after = (await enrol(keeping, picture("biden")))["subject_id"]
    assert (await keeping.get(await picture_path(keeping, before))).status_code == 200
    assert (await keeping.get(await picture_path(keeping, after))).status_code == 404

    deleted = await keeping.delete("/collections/default/pictures")
    assert (deleted.status_code, deleted.json()) == (200, {"deleted": 1})
    assert (await keeping.get(await picture_path(keeping, before))).status_code == 404
    assert (await keeping.delete("/collections/default/pictures")).json() == {"deleted": 0}
    assert (await keeping.get(f"/subjects/{before}")).json()["sample_count"] == 1


async def test_pictures_of_other_collections_stay(keeping: AsyncClient, picture: Picture) -> None:
    await keeping.post("/collections", json={"name": "other", "keep_pictures": True})
    await enrol(keeping, picture("obama2"), collection="other")
    assert (await keeping.delete("/collections/default/pictures")).json() == {"deleted": 0}
    assert (await keeping.get("/collections/other")).json()["picture_count"] == 1


async def test_a_picture_goes_with_its_sample_and_the_receipt_counts_those_of_a_subject(
    keeping: AsyncClient, picture: Picture
) -> None:
    subject_id = (await enrol(keeping, picture("obama2"), picture("obama3")))["subject_id"]
    sample, _ = await samples_of(keeping, subject_id)
    await keeping.delete(f"/subjects/{subject_id}/samples/{sample['sample_id']}")
    assert await picture_count(keeping) == 1
    deleted = await keeping.delete(f"/subjects/{subject_id}")
    receipt = (await keeping.get(deleted.headers["Location"])).json()
    assert receipt["removed"]["pictures"] == 1
    assert await picture_count(keeping) == 0


async def test_who_may_only_ask_sees_no_pictures(
    keeping: AsyncClient, app: FastAPI, picture: Picture
) -> None:
    path = await picture_path(keeping, (await enrol(keeping, picture("obama2")))["subject_id"])
    for scope, status in (("identify", 403), ("enroll", 200)):
        token, _ = await create_key(app.state.services.database, name="x", scopes=[scope])  # type: ignore[list-item]
        answer = await keeping.get(path, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", f"/subjects/{UNKNOWN_ID}/samples/{UNKNOWN_ID}/picture", "picture_not_found"),
        ("GET", f"/subjects/x/samples/{UNKNOWN_ID}/picture", "invalid_request"),
        ("DELETE", "/collections/none/pictures", "collection_not_found"),
    ],
)
async def test_what_is_not_there_is_said(
    client: AsyncClient, method: str, path: str, code: str
) -> None:
    assert (await client.request(method, path)).json()["code"] == code


async def test_a_picture_is_another_subject_s(keeping: AsyncClient, picture: Picture) -> None:
    first = (await enrol(keeping, picture("obama2")))["subject_id"]
    second = (await enrol(keeping, picture("biden")))["subject_id"]
    path = (await picture_path(keeping, first)).replace(first, second)
    assert (await keeping.get(path)).status_code == 404
