import asyncio
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from app.keys.service import create_key


async def entries(client: AsyncClient, **wanted: Any) -> list[dict[str, Any]]:
    answer = await client.get("/admin/audit", params=wanted)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["entries"]
    return found


async def enrol(client: AsyncClient, picture: bytes, **fields: str) -> str:
    answer = await client.post("/enroll", files={"images": ("a.jpg", picture)}, data=fields)
    assert answer.status_code == 201, answer.text
    subject_id: str = answer.json()["subject"]["subject_id"]
    return subject_id


@pytest.fixture
async def key_id(client: AsyncClient) -> str:
    return client.headers["Authorization"].split("_")[1]


async def test_each_call_is_entered_with_who_what_whom_where_and_how_it_ended(
    client: AsyncClient, picture: Callable[[str], bytes], key_id: str
) -> None:
    obama = await enrol(client, picture("obama"), name="Barack", external_id="p-44")
    known = await client.post("/identify", files={"image": picture("obama2")})
    await client.post("/identify", files={"image": picture("biden")})
    await client.post("/identify", files={"image": picture("cat")})
    await client.post("/identify", files={"image": picture("obama2")}, data={"collection": "x"})
    await client.post("/enroll", files={"images": picture("cat")})
    await client.post("/verify", files={"image": picture("obama2")}, data={"subject_id": obama})
    await client.patch(f"/subjects/{obama}", json={"name": "Hussein"})
    await client.delete(f"/subjects/{obama}")
    await client.get(f"/subjects/{obama}")

    listed = await entries(client)
    told = [(e["action"], e["outcome"], e["status"], e["subject_ids"]) for e in reversed(listed)]
    assert told == [
        ("enroll", "enrolled", 201, [obama]),
        ("identify", "match", 200, [obama]),
        ("identify", "unknown", 200, []),
        ("identify", "no_face", 200, []),
        ("identify", "collection_not_found", 404, []),
        ("enroll", "no_face_enrolled", 422, []),
        ("verify_faces", "match", 200, [obama]),
        ("update_subject", "changed", 200, [obama]),
        ("delete_subject", "deleted", 204, [obama]),
        ("get_subject", "subject_not_found", 404, [obama]),
    ]
    assert {each["key_id"] for each in listed} == {key_id}
    assert {each["address"] for each in listed} == {"127.0.0.1"}
    assert len({each["collection_id"] for each in listed}) == 2  # one was about no collection
    assert listed[-2]["request_id"] == known.headers["X-Request-ID"]
    for personal in ("Barack", "Hussein", "p-44"):
        assert personal not in json.dumps(listed)


async def test_what_is_asked_again_and_again_is_left_out(client: AsyncClient) -> None:
    for path in ("/healthz", "/readyz", "/version", "/metrics", "/admin/jobs", "/nowhere"):
        await client.get(path)
    assert await entries(client) == []
    # The looking itself is entered.
    assert [each["action"] for each in await entries(client)] == ["list_audit"]


async def test_a_call_without_a_valid_key_is_not_entered(client: AsyncClient) -> None:
    await client.get("/subjects", headers={"Authorization": "Bearer nobody"})
    assert await entries(client) == []


async def test_a_key_that_may_not_is(app: FastAPI, client: AsyncClient) -> None:
    token, key = await create_key(app.state.services.database, name="x", scopes=["identify"])
    await client.post("/collections", headers={"Authorization": f"Bearer {token}"}, json={})
    (entry,) = await entries(client)
    assert (entry["action"], entry["outcome"], entry["key_id"]) == (
        "create_collection",
        "missing_scope",
        key.key_id,
    )


async def test_what_nobody_expected_is_entered(
    app: FastAPI, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr(app.state.services.jobs, "start", fail)
    await client.post("/admin/retrain", json={})
    (entry,) = await entries(client)
    assert (entry["outcome"], entry["status"]) == ("internal_error", 500)


async def test_entries_are_found_by_what_they_say(
    client: AsyncClient, picture: Callable[[str], bytes], key_id: str
) -> None:
    await client.post("/collections", json={"name": "door"})
    biden = await enrol(client, picture("biden"))
    await enrol(client, picture("obama"), collection="door")
    (first, second, third) = reversed(await entries(client))

    assert await entries(client, subject_id=biden) == [second]
    assert await entries(client, action="create_collection") == [first]
    assert await entries(client, collection="door") == [third, first]
    assert await entries(client, since=second["at"], until=third["at"]) == [second]
    assert await entries(client, key_id="nobody") == []
    assert third in await entries(client, key_id=key_id)
    assert (await client.get("/admin/audit?collection=nowhere")).status_code == 404


async def test_pages_hold_together(client: AsyncClient) -> None:
    for number in range(5):
        await client.get("/collections", headers={"X-Request-ID": f"r-{number}"})
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get(
            "/admin/audit", params={"limit": 2, "action": "list_collections", **cursor}
        )
        page = answer.json()
        seen += [each["request_id"] for each in page["entries"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == ["r-4", "r-3", "r-2", "r-1", "r-0"]
    assert (await client.get("/admin/audit?cursor=x")).json()["code"] == "invalid_cursor"


async def test_the_export_is_the_list(client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.audit.service.EXPORTED_AT_ONCE", 2)
    for _ in range(5):
        await client.get("/collections")
    listed = await entries(client, action="list_collections")
    export = await client.get("/admin/audit/export?action=list_collections")
    assert export.headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line) for line in export.text.splitlines()] == listed


async def test_a_key_of_one_collection_sees_no_other_s_entries(
    app: FastAPI, client: AsyncClient, picture: Callable[[str], bytes]
) -> None:
    await client.post("/collections", json={"name": "door"})
    at_door = await enrol(client, picture("obama"), collection="door")
    elsewhere = await enrol(client, picture("biden"))
    token, _ = await create_key(
        app.state.services.database, name="x", scopes=["admin"], collections=["door"]
    )
    client.headers["Authorization"] = f"Bearer {token}"
    seen = await entries(client)
    assert [each["subject_ids"] for each in seen] == [[at_door], []]
    assert await entries(client, subject_id=elsewhere) == []
    export = await client.get("/admin/audit/export")
    assert elsewhere not in export.text
    assert at_door in export.text


async def test_no_answer_leaves_that_is_not_entered(
    app: FastAPI, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = app.state.services.audit

    async def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(audit, "_store", fail)
    answer = await client.get("/collections")
    assert (answer.status_code, answer.json()["code"]) == (503, "audit_unavailable")
    assert answer.headers["Retry-After"] == "1"
    monkeypatch.undo()
    assert (await client.get("/collections")).status_code == 200


async def test_nor_does_an_error(
    app: FastAPI, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(app.state.services.audit, "_store", fail)
    monkeypatch.setattr(app.state.services.jobs, "start", fail)
    answer = await client.post("/admin/retrain", json={})
    assert (answer.status_code, answer.json()["code"]) == (503, "audit_unavailable")


async def test_a_replayed_answer_is_entered(
    client: AsyncClient, picture: Callable[[str], bytes]
) -> None:
    for _ in range(2):
        answer = await client.post(
            "/collections", json={"name": "door"}, headers={"Idempotency-Key": "k-1"}
        )
        assert answer.status_code == 201
    replay, first = await entries(client)
    assert (first["action"], first["outcome"]) == ("create_collection", "done")
    assert (replay["action"], replay["outcome"], replay["status"]) == ("replay", "replayed", 201)


async def test_a_client_that_goes_away_is_entered(
    app: FastAPI, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def wait_on(*_: object, **__: object) -> None:
        begun.set()
        await asyncio.sleep(60)

    with monkeypatch.context() as patched:
        patched.setattr(app.state.services.jobs, "start", wait_on)
        call = asyncio.create_task(client.post("/admin/retrain", json={}))
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    async with asyncio.timeout(20):
        while not (found := await entries(client, action="retrain")):
            await asyncio.sleep(0.05)
    assert [(each["outcome"], each["status"]) for each in found] == [("given_up", 499)]


async def test_a_collection_that_another_replica_has_just_made_is_found(
    app: FastAPI, client: AsyncClient
) -> None:
    with psycopg.connect(app.state.services.database.address) as connection:
        connection.execute(
            "INSERT INTO collections (id, name, embedder_name, embedder_sha256, revision)"
            " SELECT gen_random_uuid(), 'new', embedder_name, embedder_sha256, 0 FROM collections"
        )
    assert await entries(client, collection="new") == []
    unknown = await client.get("/admin/audit", params={"collection": "none"})
    assert unknown.json()["code"] == "collection_not_found"
