"""What is kept for a time only: found when it is over, erased like by hand, and nothing else."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from app.retention import repository
from app.retention.service import Purged, purge
from app.services import Services
from app.settings import Settings
from tests.app.subjects.test_service import Picture, enrol, names_found

Age = Callable[..., None]


@pytest.fixture
def services(app: FastAPI) -> Services:
    services: Services = app.state.services
    return services


@pytest.fixture
def age(database_url: str) -> Age:
    """Make rows of some tables so many days older."""

    def make_older(days: int, *tables: str) -> None:
        with psycopg.connect(database_url) as connection:
            for table in tables:
                connection.execute(
                    f"UPDATE {table} SET created_at = created_at - make_interval(days => %s)",  # noqa: S608
                    [days],
                )

    return make_older


async def purge_now(services: Services, *, wait: bool = True) -> Purged | None:
    return await purge(
        database=services.database,
        settings=services.settings,
        holds=services.bundles.files.holds,
        wait=wait,
    )


async def remaining(client: AsyncClient, collection: str = "default") -> list[str]:
    listed = await client.get("/subjects", params={"collection": collection})
    return [each["name"] for each in listed.json()["subjects"]]


async def test_without_any_retention_everything_stays(
    client: AsyncClient, services: Services, picture: Picture, age: Age
) -> None:
    await client.patch("/collections/default", json={"keep_pictures": True})
    await enrol(client, picture("obama2"), name="old")
    age(30_000, "subjects", "samples", "pictures")
    assert await purge_now(services) == Purged(0, 0, 0)
    assert (await client.get("/collections/default")).json()["picture_count"] == 1


async def test_a_subject_whose_time_is_over_is_erased_as_by_hand(
    client: AsyncClient, services: Services, picture: Picture, age: Age, database_url: str
) -> None:
    await client.patch("/collections/default", json={"subject_days": 30})
    old = (await enrol(client, picture("obama2"), name="old"))["subject_id"]
    age(31, "subjects", "samples")
    await enrol(client, picture("biden"), name="young")

    assert await purge_now(services) == Purged(1, 0, 0)

    assert await remaining(client) == ["young"]
    assert (await client.get(f"/subjects/{old}")).json()["code"] == "subject_not_found"
    (receipt,) = (await client.get("/admin/erasures")).json()["erasures"]
    assert (receipt["subject_id"], receipt["removed"]["samples"]) == (old, 1)
    with psycopg.connect(database_url) as connection:
        (change,) = connection.execute(
            "SELECT kind, revision FROM changes WHERE subject_id = %s ORDER BY revision DESC"
            " LIMIT 1",
            [old],
        ).fetchall()
        assert change[0] == "subject_deleted"
        entries = connection.execute(
            "SELECT key_id, action, subject_ids::text[] FROM audit WHERE action = 'purge_subject'"
        ).fetchall()
        assert entries == [(None, "purge_subject", [old])]
    await services.galleries.refresh()  # what the follower does each second
    assert await names_found(client, picture("obama3")) == ["young"]
    assert await purge_now(services) == Purged(0, 0, 0)


async def test_a_new_sample_begins_the_time_anew(
    client: AsyncClient, services: Services, picture: Picture, age: Age
) -> None:
    await client.patch("/collections/default", json={"subject_days": 30})
    subject_id = (await enrol(client, picture("obama2"), name="known"))["subject_id"]
    age(31, "subjects", "samples")
    await enrol(client, picture("obama3"), subject_id=subject_id)
    assert await purge_now(services) == Purged(0, 0, 0)
    age(31, "samples")
    assert await purge_now(services) == Purged(1, 0, 0)


async def test_a_subject_without_samples_is_as_old_as_itself(
    client: AsyncClient, services: Services, picture: Picture, age: Age
) -> None:
    await client.patch("/collections/default", json={"subject_days": 30})
    subject_id = (await enrol(client, picture("obama2")))["subject_id"]
    (sample,) = (await client.get(f"/subjects/{subject_id}")).json()["samples"]
    await client.delete(f"/subjects/{subject_id}/samples/{sample['sample_id']}")
    assert await purge_now(services) == Purged(0, 0, 0)
    age(31, "subjects")
    assert await purge_now(services) == Purged(1, 0, 0)


async def test_each_collection_has_its_own_time(
    client: AsyncClient, services: Services, picture: Picture, age: Age
) -> None:
    await client.patch("/collections/default", json={"subject_days": 100})
    await client.post("/collections", json={"name": "short", "subject_days": 10})
    await client.post("/collections", json={"name": "ever"})
    for collection in ("default", "short", "ever"):
        await enrol(client, picture("obama2"), name=collection, collection=collection)
    age(50, "subjects", "samples")
    assert await purge_now(services) == Purged(1, 0, 0)
    assert await remaining(client) == ["default"]
    assert await remaining(client, "short") == []
    assert await remaining(client, "ever") == ["ever"]


async def test_pictures_go_after_their_days_and_samples_stay(
    client: AsyncClient, services: Services, picture: Picture, age: Age
) -> None:
    await client.patch("/collections/default", json={"keep_pictures": True, "picture_days": 7})
    await enrol(client, picture("obama2"), name="old")
    age(8, "pictures")
    await enrol(client, picture("biden"), name="young")
    assert await purge_now(services) == Purged(0, 1, 0)
    shown = (await client.get("/collections/default")).json()
    assert (shown["picture_count"], shown["sample_count"]) == (1, 2)


async def test_old_audit_entries_go_where_the_operator_says_so(
    client: AsyncClient, services: Services, settings: Settings, database_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO audit (id, at, request_id, action, subject_ids, outcome, status)"
            " SELECT gen_random_uuid(), now() - make_interval(days => n * 10), '-', '-', '{}', '-',"
            " 200 FROM generate_series(1, 5) n"
        )
    assert await purge_now(services) == Purged(0, 0, 0)
    purged = await purge(
        database=services.database,
        settings=settings.model_copy(update={"audit_days": 25}),
        holds=services.bundles.files.holds,
        wait=True,
    )
    assert purged == Purged(0, 0, 3)


async def test_more_than_a_portion_is_purged_and_one_that_was_interrupted_goes_on(
    client: AsyncClient,
    services: Services,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.retention.service.SUBJECTS_AT_ONCE", 3)
    await client.patch("/collections/default", json={"subject_days": 1})
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO subjects (id, collection_id, metadata, created_at)"
            " SELECT gen_random_uuid(), collections.id, '{}', now() - interval '2 days'"
            " FROM collections, generate_series(1, 10)"
        )
        (fifth,) = connection.execute(
            "SELECT id FROM subjects ORDER BY id OFFSET 4 LIMIT 1"
        ).fetchone() or (None,)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO bundles (id, collection_id, watermark, classes, subnets, metrics, active)"
            " SELECT 'b', id, 0, 1, 1, '{}', false FROM collections"
        )

    def fails_at_the_fifth(_bundle_id: str, subject_ids: Sequence[UUID]) -> list[bool]:
        if fifth in subject_ids:
            raise RuntimeError("interrupted")
        return [False] * len(subject_ids)

    with pytest.raises(RuntimeError, match="interrupted"):
        await purge(
            database=services.database,
            settings=services.settings,
            holds=fails_at_the_fifth,
            wait=False,
        )
    assert len((await client.get("/subjects")).json()["subjects"]) == 6
    assert await purge_now(services) == Purged(6, 0, 0)
    assert len((await client.get("/admin/erasures")).json()["erasures"]) == 10


async def test_one_process_purges_at_a_time(
    client: AsyncClient, services: Services, database_url: str
) -> None:
    async with repository.purge_lock(database_url, wait=False) as connection:
        assert connection is not None
        assert await purge_now(services, wait=False) is None
        waiting = asyncio.create_task(purge_now(services))
        await asyncio.sleep(0.2)
        assert not waiting.done()
    assert await waiting == Purged(0, 0, 0)


async def test_a_subject_that_is_enrolled_again_while_it_is_looked_at_stays(
    client: AsyncClient, services: Services, picture: Picture, age: Age, database_url: str
) -> None:
    await client.patch("/collections/default", json={"subject_days": 30})
    subject_id = (await enrol(client, picture("obama2")))["subject_id"]
    age(31, "subjects", "samples")
    with psycopg.connect(database_url) as enrolling:
        enrolling.execute("SELECT FROM subjects WHERE id = %s FOR UPDATE", [subject_id])
        purging = asyncio.create_task(purge_now(services))
        await asyncio.sleep(0.3)
        assert not purging.done()
        enrolling.execute("UPDATE samples SET created_at = now()")
    assert await purging == Purged(0, 0, 0)
    assert (await client.get(f"/subjects/{subject_id}")).status_code == 200


async def test_deleted_rows_are_taken_out_of_the_tables(
    client: AsyncClient, services: Services, picture: Picture, database_url: str
) -> None:
    subject_id = (await enrol(client, picture("obama2"), name="gone"))["subject_id"]
    await client.delete(f"/subjects/{subject_id}")

    def dead_rows() -> int:
        with psycopg.connect(database_url) as connection:
            row = connection.execute(
                "SELECT sum(n_dead_tup) FROM pg_stat_user_tables WHERE relname = ANY(%s)",
                [list(repository.PERSONAL_TABLES)],
            ).fetchone()
        assert row is not None
        return int(row[0])

    # The counts come from the server processes of others, once these have a moment.
    async with asyncio.timeout(20):
        while dead_rows() == 0:
            await asyncio.sleep(0.1)
    await purge_now(services)
    assert dead_rows() == 0
