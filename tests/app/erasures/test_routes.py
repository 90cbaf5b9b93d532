"""Deleting over HTTP, and the receipts of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from app.keys.service import create_key
from app.services import Services
from app.settings import Settings
from models.bundle_format import SUBJECT_IDS
from tests.app.subjects.test_service import UNKNOWN_ID, Picture, enrol

Publish = Callable[..., None]


def write_bundle(
    connection: psycopg.Connection[Any],
    settings: Settings,
    bundle_id: str,
    *trained_with: str,
    active: bool = False,
) -> None:
    """Put a bundle that was trained with some subjects where bundles are, the list of them only."""
    folder = settings.data_dir / "bundles" / bundle_id / "bundle"
    folder.mkdir(parents=True)
    np.save(folder / SUBJECT_IDS, np.array(sorted(each.encode() for each in trained_with)))
    connection.execute(
        "INSERT INTO bundles (id, collection_id, watermark, classes, subnets, metrics, active)"
        " SELECT %s, id, 0, 1, 1, '{}', %s FROM collections",
        [bundle_id, active],
    )


@pytest.fixture
def publish(settings: Settings, database_url: str) -> Publish:
    """Write a bundle, and commit."""

    def write(bundle_id: str, *trained_with: str, active: bool = False) -> None:
        with psycopg.connect(database_url) as connection:
            write_bundle(connection, settings, bundle_id, *trained_with, active=active)

    return write


async def delete(client: AsyncClient, subject_id: str) -> dict[str, Any]:
    """Delete a subject; give the receipt that the answer leads to."""
    answer = await client.delete(f"/subjects/{subject_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    receipt = await client.get(answer.headers["Location"])
    assert receipt.status_code == 200, receipt.text
    shown: dict[str, Any] = receipt.json()
    assert shown["erasure_id"] == answer.headers["Cohort-Erasure"]
    assert shown["subject_id"] == subject_id
    return shown


async def test_the_receipt_of_somebody_no_bundle_knows(
    app: FastAPI, client: AsyncClient, picture: Picture
) -> None:
    live = app.state.services.galleries.find("default")
    subject = await enrol(client, picture("obama2"), picture("obama3"))
    shown = await delete(client, subject["subject_id"])
    variants = 2 * Settings().enroll_variants
    assert shown["removed"] == {"samples": 2, "variants": variants, "pictures": 0, "feedback": 0}
    assert shown["collection_id"] == str(live.collection_id)
    assert shown["bundles"] == []
    assert shown["completed_at"] == shown["erased_at"]


async def test_the_receipt_names_the_bundles_that_were_trained_with_the_subject(
    client: AsyncClient, picture: Picture, publish: Publish
) -> None:
    subject = (await enrol(client, picture("obama2")))["subject_id"]
    other = (await enrol(client, picture("biden")))["subject_id"]
    publish("old", other, subject)
    publish("without", other)
    publish("new", other, subject, UNKNOWN_ID, active=True)
    shown = await delete(client, subject)
    assert shown["bundles"] == [
        {"bundle_id": "new", "active": True, "cleared_at": None},
        {"bundle_id": "old", "active": False, "cleared_at": None},
    ]
    assert shown["completed_at"] is None
    assert [each["bundle_id"] for each in (await delete(client, other))["bundles"]] == [
        "new",
        "old",
        "without",
    ]


async def test_a_bundle_that_cant_be_read_may_hold_anybody_and_hinders_nobody(
    client: AsyncClient, picture: Picture, publish: Publish, settings: Settings
) -> None:
    subject = (await enrol(client, picture("obama2")))["subject_id"]
    publish("lost", UNKNOWN_ID)
    (settings.data_dir / "bundles" / "lost" / "bundle" / SUBJECT_IDS).unlink()
    shown = await delete(client, subject)
    assert [each["bundle_id"] for each in shown["bundles"]] == ["lost"]


async def test_a_deletion_waits_for_a_bundle_that_is_just_published(
    client: AsyncClient, picture: Picture, settings: Settings, database_url: str
) -> None:
    subject = (await enrol(client, picture("obama2")))["subject_id"]
    with psycopg.connect(database_url) as publishing:
        # As `lock_for_change` of app/bundles/repository.py.
        publishing.execute("SELECT FROM collections FOR UPDATE")
        deleting = asyncio.create_task(delete(client, subject))
        await asyncio.sleep(0.3)
        assert not deleting.done()
        write_bundle(publishing, settings, "b", subject, active=True)
    assert [each["bundle_id"] for each in (await deleting)["bundles"]] == ["b"]


async def test_receipts_are_listed_a_page_at_a_time(
    client: AsyncClient, picture: Picture, publish: Publish
) -> None:
    ids = [
        (await enrol(client, picture("obama2"), allow_conflict="true"))["subject_id"]
        for _ in range(3)
    ]
    publish("b", ids[1], ids[2])
    receipts = [await delete(client, each) for each in ids]

    first = (await client.get("/admin/erasures?limit=2")).json()
    assert first["erasures"] == receipts[:2]
    rest = (
        await client.get("/admin/erasures", params={"limit": 2, "cursor": first["next_cursor"]})
    ).json()
    assert rest == {"erasures": receipts[2:], "next_cursor": None}
    still_open = (await client.get("/admin/erasures?collection=default&open=true")).json()
    assert still_open["erasures"] == receipts[1:]
    await client.post("/collections", json={"name": "other"})
    empty = (await client.get("/admin/erasures?collection=other")).json()
    assert empty == {"erasures": [], "next_cursor": None}


async def test_a_deleted_collection_leaves_a_receipt_for_each_subject(
    app: FastAPI, client: AsyncClient, picture: Picture, publish: Publish, settings: Settings
) -> None:
    services: Services = app.state.services
    gone = (await enrol(client, picture("biden")))["subject_id"]
    stayed = (await enrol(client, picture("obama2"), picture("obama3")))["subject_id"]
    publish("b", gone, stayed, active=True)
    before = await delete(client, gone)
    assert before["completed_at"] is None

    assert (await client.delete("/collections/default")).status_code == 204

    assert not list((settings.data_dir / "bundles").iterdir())
    earlier, later = (await client.get("/admin/erasures")).json()["erasures"]
    assert later["subject_id"] == stayed
    assert later["removed"]["samples"] == 2
    assert later["collection_id"] == earlier["collection_id"]
    await services.bundles.complete_receipts()  # which it does by itself in a few seconds
    for receipt in (await client.get("/admin/erasures")).json()["erasures"]:
        assert [each["bundle_id"] for each in receipt["bundles"]] == ["b"]
        assert receipt["completed_at"] == receipt["bundles"][0]["cleared_at"] is not None
    # The name leads to the collection that took its place.
    listed = (await client.get("/admin/erasures?collection=default")).json()
    assert listed["erasures"] == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/admin/erasures/{UNKNOWN_ID}", "erasure_not_found"),
        ("/admin/erasures/x", "invalid_request"),
        ("/admin/erasures?cursor=x", "invalid_cursor"),
        ("/admin/erasures?collection=none", "collection_not_found"),
    ],
)
async def test_what_is_not_there_is_said(client: AsyncClient, path: str, code: str) -> None:
    assert (await client.get(path)).json()["code"] == code


async def test_only_an_admin_sees_receipts(app: FastAPI, client: AsyncClient) -> None:
    token, _ = await create_key(app.state.services.database, name="x", scopes=["enroll"])
    answer = await client.get("/admin/erasures", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")
