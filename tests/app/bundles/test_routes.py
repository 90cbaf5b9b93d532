import asyncio
import shutil
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from httpx import AsyncClient

from app.bundles import service
from app.deps import Services
from app.settings import Settings
from tests.app.bundles.conftest import SUBJECTS, Publish

NOBODYS = "0" * 64


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "GRACE_S", 0.2)


def folders(settings: Settings) -> set[str]:
    return {path.name for path in (settings.data_dir / "bundles").iterdir()}


async def active(client: AsyncClient) -> list[str]:
    bundles = (await client.get("/admin/bundles")).json()["bundles"]
    return [each["bundle_id"] for each in bundles if each["active"]]


async def test_bundles_are_published_listed_shown_and_told_of(
    client: AsyncClient, services: Services, publish: Publish
) -> None:
    assert (await client.get("/admin/bundles")).json() == {"bundles": []}
    first = await publish(0.1)
    second = await publish(0.3)
    listed = (await client.get("/admin/bundles", params={"collection": "default"})).json()
    assert [each["bundle_id"] for each in listed["bundles"]] == [second, first]
    assert [each["active"] for each in listed["bundles"]] == [True, False]
    shown = (await client.get(f"/admin/bundles/{second}")).json()
    assert {name: shown[name] for name in ("collection", "classes", "subnets", "watermark")} == {
        "collection": "default",
        "classes": SUBJECTS,
        "subnets": 2,
        "watermark": SUBJECTS,
    }
    assert shown["erased_subjects"] == 0
    assert shown["manifest"]["id"] == second
    assert services.galleries.find("default").bundle_id == second


async def test_the_report_is_a_page_that_can_do_nothing(
    client: AsyncClient, publish: Publish
) -> None:
    bundle_id = await publish(0.1)
    report = await client.get(f"/admin/bundles/{bundle_id}/report")
    assert report.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in report.headers["Content-Security-Policy"]
    assert "sandbox" in report.headers["Content-Security-Policy"]
    assert report.headers["X-Content-Type-Options"] == "nosniff"
    assert report.text.startswith("<!doctype html>")


async def test_activation_goes_back_and_forth(
    client: AsyncClient, services: Services, publish: Publish
) -> None:
    first, second = await publish(0.1), await publish(0.3)
    for bundle_id in (first, second, second, first):
        answer = await client.post(f"/admin/bundles/{bundle_id}/activate")
        assert (answer.status_code, answer.json()["active"]) == (200, True)
        assert services.galleries.find("default").bundle_id == bundle_id
        assert await active(client) == [bundle_id]


async def test_a_damaged_bundle_is_refused_and_the_active_one_stays(
    client: AsyncClient, services: Services, publish: Publish
) -> None:
    first, second = await publish(0.1), await publish(0.3)
    (services.bundles.files.bundle(first) / "index.faiss").unlink()
    answer = await client.post(f"/admin/bundles/{first}/activate")
    assert (answer.status_code, answer.json()["code"]) == (409, "bundle_damaged")
    assert await active(client) == [second]
    assert services.galleries.find("default").bundle_id == second
    services.bundles.files.report(first).unlink()
    answer = await client.get(f"/admin/bundles/{first}/report")
    assert (answer.status_code, answer.json()["code"]) == (409, "bundle_damaged")
    (services.bundles.files.bundle(first) / "manifest.json").unlink()
    assert (await client.get(f"/admin/bundles/{first}")).json()["manifest"] is None


async def test_only_a_bundle_that_is_not_active_is_deleted(
    client: AsyncClient, settings: Settings, publish: Publish
) -> None:
    first, second = await publish(0.1), await publish(0.3)
    refused = await client.delete(f"/admin/bundles/{second}")
    assert (refused.status_code, refused.json()["code"]) == (409, "bundle_active")
    assert (await client.delete(f"/admin/bundles/{first}")).status_code == 204
    assert folders(settings) == {second}
    assert (await client.get(f"/admin/bundles/{first}")).status_code == 404


@pytest.mark.parametrize("path", ["", "/report", "/activate"])
async def test_a_bundle_that_is_none(client: AsyncClient, path: str) -> None:
    ask = client.post if path == "/activate" else client.get
    for bundle_id, status, code in (
        (NOBODYS, 404, "bundle_not_found"),
        ("0" * 63, 422, "invalid_request"),
        ("..%2f..%2fpostgres", 404, "not_found"),
    ):
        answer = await ask(f"/admin/bundles/{bundle_id}{path}")
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_deleting_what_is_none_and_asking_for_an_unknown_collection(
    client: AsyncClient,
) -> None:
    answer = await client.delete(f"/admin/bundles/{NOBODYS}")
    assert (answer.status_code, answer.json()["code"]) == (404, "bundle_not_found")
    answer = await client.get("/admin/bundles", params={"collection": "nobodys"})
    assert (answer.status_code, answer.json()["code"]) == (404, "collection_not_found")


async def test_the_bundles_of_a_deleted_collection_go_with_it(
    client: AsyncClient, settings: Settings, publish: Publish
) -> None:
    await publish(0.1)
    await publish(0.3)
    assert (await client.delete("/collections/default")).status_code == 204
    assert (await client.get("/admin/bundles")).json() == {"bundles": []}
    assert folders(settings) == set()


async def test_the_oldest_bundles_are_cleared_away(
    client: AsyncClient, services: Services, settings: Settings, publish: Publish
) -> None:
    made = [await publish(weight) for weight in (0.1, 0.2, 0.3, 0.4)]
    await client.post(f"/admin/bundles/{made[0]}/activate")
    await services.bundles.clear_away()
    # The two that were used last stay beside the active one.
    assert folders(settings) == {made[0], made[2], made[3]}


async def test_a_bundle_with_traces_goes_once_one_without_them_is_active(
    client: AsyncClient, services: Services, settings: Settings, publish: Publish
) -> None:
    first, second = await publish(0.1), await publish(0.3)

    def trace(erasure_id: UUID, bundle_id: str) -> None:
        with psycopg.connect(services.database.address) as connection:
            connection.execute(
                "INSERT INTO erasures (id, collection_id, subject_id, samples, variants, feedback)"
                " SELECT %s, id, %s, 0, 0, 0 FROM collections ON CONFLICT DO NOTHING",
                [erasure_id, erasure_id],
            )
            connection.execute(
                "INSERT INTO erasure_bundles (erasure_id, bundle_id) VALUES (%s, %s)",
                [erasure_id, bundle_id],
            )

    trace(UUID(int=1), first)
    trace(UUID(int=1), second)
    await services.bundles.clear_away()
    assert folders(settings) == {first, second}
    assert (await client.get(f"/admin/bundles/{first}")).json()["erased_subjects"] == 1
    trace(UUID(int=2), first)
    await services.bundles.clear_away()
    assert folders(settings) == {second}
    with psycopg.connect(services.database.address) as connection:
        cleared: dict[str, bool] = dict(
            connection.execute(
                "SELECT bundle_id, bool_and(cleared_at IS NOT NULL) FROM"
                " erasure_bundles GROUP BY bundle_id"
            ).fetchall()
        )
    assert cleared == {first: True, second: False}


async def test_a_former_bundle_keeps_its_files_for_requests_under_way(
    client: AsyncClient, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = await publish(0.1), await publish(0.3)
    monkeypatch.setattr(service, "GRACE_S", 60.0)
    deleting = asyncio.create_task(client.delete(f"/admin/bundles/{first}"))
    await asyncio.sleep(0.3)
    assert not deleting.done()
    assert (await client.get(f"/admin/bundles/{first}")).status_code == 200
    deleting.cancel()


async def test_a_bundle_that_can_not_be_published_leaves_nothing(
    services: Services, settings: Settings, publish: Publish, tmp_path: Path
) -> None:
    made = await publish(0.1)

    async def refuse(_session: object) -> None:
        raise LookupError

    collection_id = services.galleries.find("default").collection_id
    shutil.copytree(services.bundles.files.place(made), tmp_path / "again")
    await services.bundles.delete_files([made])
    with psycopg.connect(services.database.address) as connection:
        connection.execute("DELETE FROM bundles")
    with pytest.raises(LookupError):
        await services.bundles.publish(tmp_path / "again", collection_id, {"id": made}, refuse)
    assert folders(settings) == set()
