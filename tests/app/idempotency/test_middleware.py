"""`Idempotency-Key`: what is sent again is done once."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from httpx import AsyncClient, Response
from psycopg.rows import dict_row

from app.settings import Settings
from tests.app.conftest import Serve

Picture = Callable[[str], bytes]
Rows = Callable[[], dict[str, int]]

KEY = "Idempotency-Key"


async def enrol(client: AsyncClient, key: str, *pictures: bytes, **data: Any) -> Response:
    return await client.post(
        "/enroll",
        files=[("images", ("face.jpg", picture)) for picture in pictures],
        data=data,
        headers={KEY: key},
    )


def stored(database_url: str) -> list[dict[str, Any]]:
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        return connection.execute("SELECT * FROM idempotency ORDER BY created_at").fetchall()


async def test_an_enrolment_sent_again_is_answered_again(
    client: AsyncClient, picture: Picture, rows: Rows
) -> None:
    first = await enrol(client, "k-1", picture("obama2"), name="Barack Obama")
    again = await enrol(client, "k-1", picture("obama2"), name="Barack Obama")

    assert first.status_code == again.status_code == 201
    assert again.content == first.content
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert rows()["subjects"] == rows()["samples"] == 1


async def test_without_a_key_or_with_another_it_is_done_again(
    client: AsyncClient, picture: Picture, rows: Rows
) -> None:
    for key in ("k-1", "k-2"):
        assert (await enrol(client, key, picture("biden"), allow_conflict=True)).status_code == 201
    sent = await client.post(
        "/enroll", files={"images": picture("biden")}, data={"allow_conflict": True}
    )
    assert sent.status_code == 201
    assert rows()["subjects"] == 3


async def test_another_body_with_the_same_key_is_refused(
    client: AsyncClient, picture: Picture, rows: Rows
) -> None:
    await enrol(client, "k-1", picture("obama2"))
    other = await enrol(client, "k-1", picture("biden"))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = await client.post("/collections", json={"name": "b"}, headers={KEY: "k-1"})
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (422, "idempotency_key_reused")
    assert rows()["subjects"] == 1
    assert rows()["collections"] == 1


async def test_many_at_once_are_one(client: AsyncClient, picture: Picture, rows: Rows) -> None:
    answers = await asyncio.gather(*(enrol(client, "k-1", picture("biden")) for _ in range(8)))
    done = [answer for answer in answers if answer.status_code == 201]
    assert done
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in done}) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "request_in_progress"
            assert int(answer.headers["Retry-After"]) >= 1
    assert rows()["subjects"] == 1


async def test_other_writes_are_answered_again_too(client: AsyncClient, picture: Picture) -> None:
    made = [
        await client.post("/collections", json={"name": "staff"}, headers={KEY: "make"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in made] == [201, 201]

    enrolled = await enrol(client, "enrol", picture("biden"))
    path = f"/subjects/{enrolled.json()['subject']['subject_id']}"
    changed = [
        await client.patch(path, json={"name": "Joe"}, headers={KEY: "change"}) for _ in range(2)
    ]
    assert changed[0].content == changed[1].content
    deleted = [await client.delete(path, headers={KEY: "delete"}) for _ in range(2)]
    assert [answer.status_code for answer in deleted] == [204, 204]
    assert deleted[0].headers["Location"] == deleted[1].headers["Location"]


async def test_a_refusal_is_answered_again(client: AsyncClient) -> None:
    answers = [await client.delete("/collections/nowhere", headers={KEY: "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    assert answers[1].headers["Idempotency-Replayed"] == "true"


async def test_searches_ignore_it(client: AsyncClient, picture: Picture, database_url: str) -> None:
    for path in ("/identify", "/detect"):
        for _ in range(2):
            answer = await client.post(
                path, files={"image": picture("biden")}, headers={KEY: "k-1"}
            )
            assert answer.status_code == 200
            assert "Idempotency-Replayed" not in answer.headers
    assert stored(database_url) == []


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ä".encode(), "tab\t"])
async def test_a_key_that_is_none_is_refused(client: AsyncClient, key: str | bytes) -> None:
    headers = [(KEY.encode(), key if isinstance(key, bytes) else key.encode())]
    answer = await client.post("/collections", json={"name": "b"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert answer.json()["errors"][0]["field"] == KEY


async def test_another_api_key_may_use_the_same_name(
    client: AsyncClient, picture: Picture, rows: Rows, database_url: str
) -> None:
    first = await enrol(client, "k-1", picture("biden"), allow_conflict=True)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE idempotency SET key_id = 'another'")
    second = await enrol(client, "k-1", picture("biden"), allow_conflict=True)
    assert first.json()["subject"] != second.json()["subject"]
    assert rows()["subjects"] == 2


async def test_what_is_kept_tells_nothing(
    client: AsyncClient, picture: Picture, database_url: str
) -> None:
    answer = await enrol(client, "barack-obama", picture("obama2"), name="Barack Obama")
    subject_id = answer.json()["subject"]["subject_id"]
    (row,) = stored(database_url)
    assert str(row["subject_id"]) == subject_id
    assert row["claim"] is None
    for secret in (b"Barack", b"barack", subject_id.encode()):
        assert secret not in row["answer"]
        assert secret.decode() not in row["idempotency_key"]


async def test_a_deleted_subjects_answer_goes_and_is_not_made_anew(
    client: AsyncClient, picture: Picture, rows: Rows, database_url: str
) -> None:
    enrolled = await enrol(client, "k-1", picture("biden"), name="Joe Biden")
    path = f"/subjects/{enrolled.json()['subject']['subject_id']}"
    await client.patch(path, json={"name": "Joe"}, headers={KEY: "k-2"})
    assert (await client.delete(path)).status_code == 204

    for row in stored(database_url):
        assert row["subject_id"] is row["answer"] is row["claim"] is None
        assert row["request_sha256"] == b""
    again = await enrol(client, "k-1", picture("biden"), name="Joe Biden")
    assert (again.status_code, again.json()["code"]) == (409, "answer_lost")
    assert rows()["subjects"] == 0


async def test_a_deleted_collections_answers_go(
    client: AsyncClient, picture: Picture, database_url: str
) -> None:
    await client.post("/collections", json={"name": "staff"})
    await enrol(client, "k-1", picture("biden"), collection="staff")
    await enrol(client, "k-2", picture("obama2"))
    assert (await client.delete("/collections/staff")).status_code == 204
    assert [row["answer"] is None for row in stored(database_url)] == [True, False]


async def test_a_large_body_goes_through_a_file(client: AsyncClient, picture: Picture) -> None:
    pictures = [picture("obama2"), *(bytes([n]) * 400_000 for n in range(5))]
    first = await enrol(client, "k-1", *pictures)
    again = await enrol(client, "k-1", *pictures)
    assert first.status_code == 201
    assert len(first.json()["rejected"]) == 5
    assert again.content == first.content


async def test_another_replica_gives_the_same_answer(
    serve: Serve, settings: Settings, picture: Picture, rows: Rows
) -> None:
    async with serve(settings) as one, serve(settings) as other:
        both = await asyncio.gather(
            *(enrol(client, "k-1", picture("biden")) for client in (one, other))
        )
        again = await enrol(other, "k-1", picture("biden"))
    done = [answer for answer in (*both, again) if answer.status_code == 201]
    assert len(done) >= 2  # on a slow machine the other one may not have waited for the first
    assert len({answer.content for answer in done}) == 1
    assert again.headers["Idempotency-Replayed"] == "true"
    assert rows()["subjects"] == 1
