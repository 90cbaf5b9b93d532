import asyncio
import shutil
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from httpx import AsyncClient

from app.bundles import grace, repository
from app.bundles.files import BundleFiles
from app.services import Services
from app.settings import Settings
from tests.app.bundles.conftest import SUBJECTS, Publish, trace

NOBODYS = "0" * 64


@pytest.fixture(autouse=True)
def short_grace(rounds_are_rare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grace, "GRACE_S", 0.2)


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
    trace(services, UUID(int=1), first)
    trace(services, UUID(int=1), second)
    await services.bundles.clear_away()
    assert folders(settings) == {first, second}
    assert (await client.get(f"/admin/bundles/{first}")).json()["erased_subjects"] == 1
    trace(services, UUID(int=2), first)
    await services.bundles.clear_away()
    await services.bundles.complete_receipts()
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
    monkeypatch.setattr(grace, "GRACE_S", 60.0)
    deleting = asyncio.create_task(client.delete(f"/admin/bundles/{first}"))
    await asyncio.sleep(0.3)
    assert not deleting.done()
    assert (await client.get(f"/admin/bundles/{first}")).status_code == 200
    deleting.cancel()


async def test_the_grace_starts_when_nothing_here_is_searched_with_it_any_more(
    client: AsyncClient, services: Services, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grace, "GRACE_S", 0.6)
    first, second = await publish(0.1), await publish(0.3)
    await client.post(f"/admin/bundles/{first}/activate")
    collection_id = services.galleries.find("default").collection_id
    async with services.galleries._activations[collection_id]:  # it is committed and not yet here
        activating = asyncio.create_task(client.post(f"/admin/bundles/{second}/activate"))
        while await active(client) != [second]:
            await asyncio.sleep(0.02)
        deleting = asyncio.create_task(client.delete(f"/admin/bundles/{first}"))
        await asyncio.sleep(0.9)
        assert services.galleries.find("default").bundle_id == first
        assert not deleting.done()
        assert services.bundles.files.is_sound(first)
        released = time.monotonic()
    assert (await activating).status_code == 200
    assert (await deleting).status_code == 204
    assert time.monotonic() - released >= 0.6


async def test_what_is_searched_with_here_stays_though_another_process_has_activated_another(
    client: AsyncClient, services: Services, settings: Settings, publish: Publish
) -> None:
    first, second = await publish(0.1), await publish(0.3)
    await client.post(f"/admin/bundles/{first}/activate")
    (services.bundles.files.bundle(second) / "index.faiss").unlink()  # can't be taken up here
    with psycopg.connect(services.database.address) as connection:
        connection.execute("UPDATE bundles SET active = false")
        connection.execute("UPDATE bundles SET active = true WHERE id = %s", [second])
    trace(services, UUID(int=1), first)
    refused = await client.delete(f"/admin/bundles/{first}")
    assert (refused.status_code, refused.json()["code"]) == (409, "bundle_active")
    await services.bundles.clear_away()
    assert folders(settings) == {first, second}
    assert services.bundles.files.is_sound(first)


async def test_one_that_can_not_be_deleted_does_not_keep_the_others(
    services: Services, settings: Settings, publish: Publish
) -> None:
    made = [await publish(weight) for weight in (0.1, 0.2, 0.3, 0.4, 0.5)]
    in_its_way = settings.data_dir / "bundles" / f"{made[1]}.unfinished"
    in_its_way.touch()
    await services.bundles.clear_away()
    assert folders(settings) == {*made[1:], in_its_way.name}
    in_its_way.unlink()
    await services.bundles.clear_away()
    assert folders(settings) == set(made[2:])


@pytest.fixture
async def unpublished(services: Services, publish: Publish, tmp_path: Path) -> tuple[Path, str]:
    """What a training has made, and the id of its bundle."""
    made = await publish(0.1)
    shutil.copytree(services.bundles.files.place(made), tmp_path / "again")
    await services.bundles.delete_files([made])
    with psycopg.connect(services.database.address) as connection:
        connection.execute("DELETE FROM bundles")
    return tmp_path / "again", made


async def refuse(_session: object) -> None:
    raise LookupError


async def test_a_bundle_that_can_not_be_published_leaves_nothing(
    services: Services, settings: Settings, unpublished: tuple[Path, str]
) -> None:
    source, made = unpublished
    collection_id = services.galleries.find("default").collection_id
    with pytest.raises(LookupError):
        await services.bundles.publish(source, collection_id, {"id": made}, refuse)
    assert folders(settings) == set()


async def test_a_bundle_of_which_a_part_is_missing_leaves_nothing(
    services: Services, settings: Settings, unpublished: tuple[Path, str]
) -> None:
    source, made = unpublished
    (source / "report.html").unlink()
    collection_id = services.galleries.find("default").collection_id
    with pytest.raises(FileNotFoundError):
        await services.bundles.publish(source, collection_id, {"id": made}, refuse)
    assert folders(settings) == set()


async def test_a_publication_that_is_cancelled_while_files_are_moved_leaves_nothing(
    services: Services,
    settings: Settings,
    unpublished: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, made = unpublished
    collection_id = services.galleries.find("default").collection_id
    begun, may_go_on = threading.Event(), threading.Event()
    adopt = BundleFiles.adopt

    def adopt_late(*args: Any) -> None:
        begun.set()
        may_go_on.wait(10)
        adopt(*args)

    monkeypatch.setattr(BundleFiles, "adopt", adopt_late)
    publishing = asyncio.create_task(
        services.bundles.publish(source, collection_id, {"id": made}, refuse)
    )
    await asyncio.to_thread(begun.wait, 10)
    publishing.cancel()
    await asyncio.sleep(0.1)
    assert not publishing.done()
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    assert folders(settings) == set()


async def test_why_a_publication_failed_is_told_though_the_database_is_away(
    services: Services,
    settings: Settings,
    unpublished: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, made = unpublished
    collection_id = services.galleries.find("default").collection_id

    async def away(_session: object) -> set[str]:
        raise ConnectionError

    monkeypatch.setattr(repository, "all_ids", away)
    with pytest.raises(LookupError):
        await services.bundles.publish(source, collection_id, {"id": made}, refuse)
    assert folders(settings) == {made}
