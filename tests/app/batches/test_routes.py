"""Batches in a service without Redis, which runs them itself."""

import asyncio
import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response
from sqlalchemy.exc import IntegrityError

from app.batches import handling
from app.batches.schemas import ENROL, EnrolOptions
from app.batches.service import submit
from app.encryption.repository import is_of_rotated_key
from app.keys.caller import Caller
from app.keys.service import create_key
from app.services import Services
from app.settings import Settings
from tests.app.batches.made import base64_of, ndjson_of, tar_of, zip_of
from tests.app.retention.test_service import purge_now
from vault.vault import KEY_BYTES, Vault

Picture = Callable[[str], bytes]
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
def services(app: FastAPI) -> Services:
    services: Services = app.state.services
    return services


@pytest.fixture
def people(picture: Picture) -> dict[str, bytes]:
    """Two people, one of whom has a picture without a face, and somebody without any face."""
    return {
        "barack_obama/1.jpg": picture("obama"),
        "barack_obama/2.jpg": picture("obama2"),
        "barack_obama/cat.jpg": picture("cat"),
        "joe/1.jpg": picture("biden"),
        "nobody/cat.jpg": picture("cat"),
    }


async def send(client: AsyncClient, path: str, archive: bytes, **fields: str) -> Response:
    return await client.post(path, files={"archive": ("a", archive)}, data=fields)


async def over(client: AsyncClient, answer: Response) -> dict[str, Any]:
    """Wait until a batch is over."""
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(60):
        while True:
            batch: dict[str, Any] = (await client.get(answer.headers["Location"])).json()
            if batch["finished_at"] is not None:
                return batch
            await asyncio.sleep(0.05)


async def items_of(client: AsyncClient, answer: Response, **params: Any) -> list[dict[str, Any]]:
    page = await client.get(f"{answer.headers['Location']}/items", params=params)
    found: list[dict[str, Any]] = page.json()["items"]
    return found


def uploads(services: Services) -> int:
    with psycopg.connect(services.database.address) as connection:
        (count,) = connection.execute("SELECT count(*) FROM uploads").fetchone() or (-1,)
    return int(count)


@pytest.mark.parametrize("make", [zip_of, lambda files: tar_of(files, mode="w:gz")])
async def test_an_archive_of_people_is_enrolled(
    client: AsyncClient,
    services: Services,
    people: dict[str, bytes],
    make: Callable[[dict[str, bytes]], bytes],
) -> None:
    answer = await send(client, "/enroll/batch", make(people))
    assert answer.headers["Location"] == f"/enroll/batch/{answer.json()['job_id']}"
    batch = await over(client, answer)
    assert (batch["state"], batch["total"], batch["done"], batch["failed"]) == ("done", 3, 3, 1)
    obama, joe, nobody = await items_of(client, answer)
    assert [obama["id"], joe["id"], nobody["id"]] == ["barack_obama", "joe", "nobody"]
    assert [each["filename"] for each in obama["accepted"]] == [
        "barack_obama/1.jpg",
        "barack_obama/2.jpg",
    ]
    assert [each["reason"] for each in obama["rejected"]] == ["no_face"]
    assert nobody["error"]["code"] == "no_face_enrolled"
    assert (nobody["subject_id"], nobody["rejected"][0]["reason"]) == (None, "no_face")
    assert await items_of(client, answer, failed=True) == [nobody]
    subject = (await client.get(f"/subjects/{obama['subject_id']}")).json()
    assert (subject["external_id"], subject["name"]) == ("barack_obama", "barack obama")
    assert len(subject["samples"]) == 2
    assert uploads(services) == 0

    # Sent again, nothing is there twice; what is new is added.
    cat = people["barack_obama/cat.jpg"]
    answer = await send(client, "/enroll/batch", make(people | {"barack_obama/4.jpg": cat}))
    batch = await over(client, answer)
    assert (batch["done"], batch["failed"]) == (4, 2)
    again = await items_of(client, answer)
    assert [each["subject_id"] for each in again[:2]] == [obama["subject_id"], joe["subject_id"]]
    assert [each["accepted"] for each in again] == [[]] * 4
    assert {each["reason"] for each in again[1]["rejected"]} == {"duplicate_picture"}
    assert len((await client.get("/subjects")).json()["subjects"]) == 2


async def test_lines_of_people_are_enrolled(client: AsyncClient, picture: Picture) -> None:
    obama, biden = base64_of(picture("obama")), base64_of(picture("biden"))
    lines = ndjson_of(
        {
            "external_id": "44",
            "name": "Barack Obama",
            "metadata": {"office": 44},
            "consent_reference": "c-1",
            "images": [obama],
        },
        {"images": [biden]},
        {"images": ["?"]},
    )
    answer = await client.post("/enroll/batch", content=lines, headers=NDJSON)
    assert (await over(client, answer))["failed"] == 1
    first, second, third = await items_of(client, answer)
    subject = (await client.get(f"/subjects/{first['subject_id']}")).json()
    assert (subject["metadata"], subject["consent_reference"]) == ({"office": 44}, "c-1")
    assert (second["id"], second["subject_id"] is None) == (None, False)
    assert third["error"] == {"code": "invalid_request", "detail": third["error"]["detail"]}


async def test_pictures_are_identified(
    client: AsyncClient, people: dict[str, bytes], picture: Picture, services: Services
) -> None:
    await over(client, await send(client, "/enroll/batch", zip_of(people)))
    probes = {
        "in/obama3.jpg": picture("obama3"),
        "in/astronaut.jpg": picture("astronaut"),
        "in/cat.jpg": picture("cat"),
        "in/broken.jpg": b"\xff\xd8\xff broken",
        "in/large.jpg": bytes(services.settings.max_image_bytes + 1),
    }
    answer = await send(client, "/identify/batch", zip_of(probes))
    batch = await over(client, answer)
    assert (batch["done"], batch["failed"]) == (5, 2)
    obama, astronaut, cat, broken, large = await items_of(client, answer)
    (face,) = obama["faces"]
    assert (face["decision"], face["best"]["external_id"]) == ("match", "barack_obama")
    assert "identification_id" not in face
    (stranger,) = astronaut["faces"]
    assert (stranger["decision"], stranger["best"], stranger["contenders"]) == ("unknown", None, [])
    assert (cat["faces"], cat["error"]) == ([], None)
    assert broken["error"]["code"] == "corrupt_image"
    assert large["error"]["code"] == "image_too_large"
    # A page at a time, in the upload's order.
    location, cursor, seen = f"{answer.headers['Location']}/items", None, []
    while True:
        params = {"limit": 2} if cursor is None else {"limit": 2, "cursor": cursor}
        page = (await client.get(location, params=params)).json()
        seen += [item["id"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == list(probes)

    # What tells of a subject goes with it.
    subject_id = face["best"]["subject_id"]
    assert (await client.delete(f"/subjects/{subject_id}")).status_code == 204
    assert [each["id"] for each in await items_of(client, answer)] == list(probes)[1:]
    assert (await client.get(answer.headers["Location"])).json()["done"] == 5


async def test_the_same_decisions_as_single_calls(
    client: AsyncClient, people: dict[str, bytes], picture: Picture
) -> None:
    await over(client, await send(client, "/enroll/batch", zip_of(people)))
    names = ["obama3", "biden", "astronaut", "partial"]
    lines = ndjson_of(*({"id": name, "image": base64_of(picture(name))} for name in names))
    answer = await client.post(
        "/identify/batch", content=lines, headers=NDJSON, params={"max_fpir": 0.1}
    )
    await over(client, answer)
    for name, item in zip(names, await items_of(client, answer), strict=True):
        single = await client.post(
            "/identify", files={"image": ("x", picture(name))}, data={"max_fpir": "0.1"}
        )
        document = single.json()
        assert (item["id"], item["threshold"]) == (name, document["threshold"])
        assert [(face["box"], face["decision"]) for face in item["faces"]] == [
            (face["box"], face["decision"]) for face in document["faces"]
        ]


async def test_each_item_is_in_the_audit_log(client: AsyncClient, people: dict[str, bytes]) -> None:
    answer = await send(client, "/enroll/batch", zip_of(people))
    await over(client, answer)
    entries = (await client.get("/admin/audit", params={"action": "enroll"})).json()["entries"]
    assert sorted(each["outcome"] for each in entries) == [
        "enrolled",
        "enrolled",
        "no_face_enrolled",
    ]
    (asked,) = (await client.get("/admin/audit", params={"action": "enroll_batch"})).json()[
        "entries"
    ]
    assert (asked["outcome"], asked["status"]) == ("queued", 202)


@pytest.mark.parametrize(
    ("archive", "code"),
    [
        (b"", "unsupported_archive"),
        (b"text", "unsupported_archive"),
        (zip_of({"a/1.txt": b""}), "empty_batch"),
        (zip_of({"../1.jpg": b""}), "unsafe_archive"),
        (zip_of({"a/1.jpg": bytes(2000)})[:-30], "corrupt_archive"),
    ],
)
async def test_uploads_that_are_refused(
    client: AsyncClient, services: Services, archive: bytes, code: str
) -> None:
    for path in ("/enroll/batch", "/identify/batch"):
        answer = await send(client, path, archive)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert uploads(services) == 0
    assert (await client.get("/admin/jobs")).json() == {"jobs": []}


async def test_requests_that_are_refused(client: AsyncClient, picture: Picture) -> None:
    archive = zip_of({"a/1.jpg": picture("obama")})
    for path, fields, code in (
        ("/enroll/batch", {"collection": "nobodys"}, "collection_not_found"),
        ("/enroll/batch", {"colection": "default"}, "invalid_request"),
        ("/enroll/batch", {"select": "tallest"}, "invalid_request"),
        ("/identify/batch", {"max_fpir": "2"}, "invalid_request"),
        ("/identify/batch", {"max_fpir": "0.1", "threshold": "0.3"}, "fields_not_allowed"),
    ):
        assert (await send(client, path, archive, **fields)).json()["code"] == code
    for path in ("/enroll/batch", "/identify/batch"):
        answer = await client.post(path, content=b"", headers=NDJSON)
        assert answer.json()["code"] == "empty_batch"
        assert (await client.post(path, data={"archive": "x"})).status_code == 422
        answer = await client.post(path, files={"other": ("a", archive)})
        assert answer.json()["code"] == "invalid_request"
        for rest in ("", "/items"):
            answer = await client.get(f"{path}/{uuid4()}{rest}")
            assert answer.json()["code"] == "job_not_found"


async def test_a_batch_is_shown_by_its_kind_and_its_collection(
    client: AsyncClient, services: Services, people: dict[str, bytes]
) -> None:
    answer = await send(client, "/enroll/batch", zip_of(people))
    batch = await over(client, answer)
    job_id = batch["job_id"]
    assert (await client.get(f"/identify/batch/{job_id}")).json()["code"] == "job_not_found"
    assert (await client.delete(f"/enroll/batch/{job_id}")).json()["code"] == "job_finished"
    items = f"/enroll/batch/{job_id}/items"
    assert (await client.get(items, params={"cursor": "x"})).json()["code"] == "invalid_cursor"
    shown = (await client.get(f"/admin/jobs/{job_id}")).json()
    assert (shown["kind"], shown["state"], shown["attempts"]) == ("enrol_batch", "done", 1)
    assert shown["options"]["total"] == 3
    await client.post("/collections", json={"name": "other"})
    for collection, status in (("default", 200), ("other", 404)):
        token, _ = await create_key(
            services.database, name="x", scopes=["enroll"], collections=[collection]
        )
        headers = {"Authorization": f"Bearer {token}"}
        for path in (f"/enroll/batch/{job_id}", items):
            assert (await client.get(path, headers=headers)).status_code == status
        refused = await client.post(
            "/enroll/batch",
            files={"archive": ("a", zip_of(people))},
            data={"collection": "default"},
            headers=headers,
        )
        assert refused.status_code == (202 if status == 200 else 404)


async def test_the_upload_may_be_larger_than_a_body_and_not_larger_than_a_batch(
    settings: Settings, client: AsyncClient
) -> None:
    # More than a plain body may be.
    answer = await client.post("/enroll/batch", content=b"{}\n" * 100_000, headers=NDJSON)
    assert answer.status_code == 202
    answer = await client.post(
        "/enroll/batch",
        content=b"",
        headers=NDJSON | {"Content-Length": str(settings.max_batch_bytes + 1)},
    )
    assert answer.json()["code"] == "request_too_large"


async def test_nothing_of_an_upload_or_a_report_is_readable_in_the_database(
    client: AsyncClient, services: Services, people: dict[str, bytes]
) -> None:
    def stored(table: str, column: str) -> bytes:
        with psycopg.connect(services.database.address) as connection:
            rows = connection.execute(f"SELECT {column} FROM {table}").fetchall()  # noqa: S608
        return b"".join(row[0] for row in rows)

    services.jobs.hands.stopping.set()  # so that it stays
    archive = zip_of(people)
    await send(client, "/enroll/batch", archive)
    upload = stored("uploads", "content")
    assert len(upload) > len(archive)
    assert b"obama" not in upload
    assert archive[1000:1064] not in upload
    services.jobs.hands.stopping.clear()
    await services.jobs.announce()
    async with asyncio.timeout(60):
        while uploads(services):
            await asyncio.sleep(0.05)
    assert b"obama" not in stored("job_items", "report")
    assert hashlib.sha256(archive).digest() not in stored("job_items", "report")


async def test_old_batches_are_deleted(
    client: AsyncClient, services: Services, people: dict[str, bytes]
) -> None:
    answer = await send(client, "/enroll/batch", zip_of(people))
    await over(client, answer)
    await purge_now(services)
    assert (await client.get(answer.headers["Location"])).status_code == 200
    with psycopg.connect(services.database.address) as connection:
        connection.execute("UPDATE jobs SET finished_at = finished_at - interval '31 days'")
    await purge_now(services)
    assert (await client.get(answer.headers["Location"])).status_code == 404
    with psycopg.connect(services.database.address) as connection:
        assert connection.execute("SELECT count(*) FROM job_items").fetchone() == (0,)


async def test_an_upload_that_is_sent_again_is_one_batch(
    client: AsyncClient, people: dict[str, bytes]
) -> None:
    archive = zip_of(people)
    answers = [
        await client.post(
            "/enroll/batch",
            files={"archive": ("a.zip", archive)},
            headers={"Idempotency-Key": "a-batch"},
        )
        for _ in range(2)
    ]
    assert [each.status_code for each in answers] == [202, 202]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    await over(client, answers[0])
    assert len((await client.get("/admin/jobs")).json()["jobs"]) == 1


async def test_a_batch_stays_with_its_collection_when_names_are_exchanged(
    client: AsyncClient, services: Services, picture: Picture
) -> None:
    await client.post("/collections", json={"name": "beside"})
    for collection in ("default", "beside"):  # a person of the same external id in both
        await over(
            client,
            await send(
                client,
                "/enroll/batch",
                zip_of({"obama/1.jpg": picture("obama")}),
                collection=collection,
            ),
        )
    services.jobs.hands.stopping.set()  # so that the batches wait
    archive = zip_of({"obama/2.jpg": picture("obama2"), "joe/1.jpg": picture("biden")})
    enrolment = await send(client, "/enroll/batch", archive)
    probes = zip_of({"1.jpg": picture("obama3")})
    identification = await send(client, "/identify/batch", probes)
    switched = await client.post("/admin/collections/default/switch", json={"with": "beside"})
    assert switched.status_code == 200
    services.jobs.hands.stopping.clear()
    await services.jobs.announce()
    assert (await over(client, enrolment))["failed"] == 0
    assert (await over(client, identification))["failed"] == 0
    listed = (await client.get("/subjects", params={"collection": "beside"})).json()["subjects"]
    ids = {each["external_id"]: each["subject_id"] for each in listed}
    assert ids.keys() == {"joe", "obama"}
    assert {each["subject_id"] for each in await items_of(client, enrolment)} == set(ids.values())
    ((face,),) = [each["faces"] for each in await items_of(client, identification)]
    assert face["best"]["subject_id"] == ids["obama"]
    assert len((await client.get("/subjects")).json()["subjects"]) == 1


async def test_a_subject_that_others_make_again_and_again_is_given_up(
    client: AsyncClient, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it looks to a batch that comes too late each time."""

    async def nobody(*_: object, **__: object) -> None: ...

    monkeypatch.setattr(handling, "id_of_external_id", nobody)
    monkeypatch.setattr(handling, "TRY_AGAIN_AFTER_S", 0.01)
    line = {"external_id": "46", "images": [base64_of(picture("biden"))]}
    for failed in (0, 1):
        answer = await client.post("/enroll/batch", content=ndjson_of(line), headers=NDJSON)
        assert (await over(client, answer))["failed"] == failed
    (item,) = await items_of(client, answer)
    assert item["error"]["code"] == "external_id_taken"


async def test_the_report_of_a_refused_item_goes_with_whom_it_is_about(
    client: AsyncClient, people: dict[str, bytes]
) -> None:
    await over(client, await send(client, "/enroll/batch", zip_of(people)))
    cat = people["barack_obama/cat.jpg"]
    answer = await send(client, "/enroll/batch", zip_of({"joe/2.jpg": cat, "other/1.jpg": cat}))
    assert (await over(client, answer))["failed"] == 2
    joe, other = await items_of(client, answer)
    assert (joe["error"]["code"], joe["id"]) == ("no_face_enrolled", "joe")
    assert other["subject_id"] is None
    assert (await client.delete(f"/subjects/{joe['subject_id']}")).status_code == 204
    assert await items_of(client, answer) == [other]


async def test_an_upload_sealed_with_a_rotated_key_is_not_taken_for_a_deleted_collection(
    services: Services, people: dict[str, bytes]
) -> None:
    with pytest.raises(IntegrityError) as refused:
        await submit(
            ENROL,
            file=io.BytesIO(zip_of(people)),
            file_format="zip",
            options=EnrolOptions(),
            caller=Caller("x", frozenset()),
            services=replace(services, vault=Vault({2: bytes(KEY_BYTES)})),
        )
    assert is_of_rotated_key(refused.value)
