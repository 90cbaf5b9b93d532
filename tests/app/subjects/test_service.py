"""The routes of subjects: list, show, change, delete."""

import asyncio
import io
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from httpx import AsyncClient
from PIL import Image

Picture = Callable[[str], bytes]
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


async def enrol(client: AsyncClient, *pictures: bytes, **data: str) -> dict[str, Any]:
    answer = await client.post(
        "/enroll", files=[("images", ("x.jpg", each)) for each in pictures], data=data
    )
    assert answer.status_code == 201, answer.text
    subject: dict[str, Any] = answer.json()["subject"]
    return subject


async def names_found(client: AsyncClient, picture: bytes) -> list[str | None]:
    answer = await client.post("/identify", files={"image": ("x.jpg", picture)})
    return [each["name"] for each in answer.json()["faces"][0]["candidates"]]


@pytest.fixture
def many_subjects(database_url: str) -> Callable[[int], list[UUID]]:
    """Write subjects without samples; some share their time, as those of one import may."""

    def make(count: int) -> list[UUID]:
        with psycopg.connect(database_url) as connection:
            rows = connection.execute(
                "INSERT INTO subjects (id, collection_id, name, external_id, metadata, created_at)"
                " SELECT gen_random_uuid(), collections.id, 'Name ' || n, 'x' || n, '{}',"
                " timestamptz '2026-01-01' + n / 3 * interval '1 microsecond'"
                " FROM collections, generate_series(0, %s - 1) AS n RETURNING id, created_at",
                [count],
            ).fetchall()
        return [subject_id for subject_id, _ in sorted(rows, key=lambda row: (row[1], row[0]))]

    return make


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
async def test_pages_show_everybody_once_in_order(
    client: AsyncClient, many_subjects: Callable[[int], list[UUID]], limit: int
) -> None:
    expected = many_subjects(14)
    listed: list[str] = []
    cursor = None
    while True:
        params = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/subjects", params=params)).json()
        assert len(page["subjects"]) <= limit
        listed += [each["subject_id"] for each in page["subjects"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert listed == [str(each) for each in expected]


async def test_a_page_goes_on_where_the_one_before_ended_whatever_was_deleted(
    client: AsyncClient, many_subjects: Callable[[int], list[UUID]]
) -> None:
    ids = many_subjects(6)
    first = (await client.get("/subjects?limit=3")).json()
    for each in ids[:3]:
        assert (await client.delete(f"/subjects/{each}")).status_code == 204
    rest = (await client.get("/subjects", params={"cursor": first["next_cursor"]})).json()
    assert [each["subject_id"] for each in rest["subjects"]] == [str(each) for each in ids[3:]]


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"external_id": "x7"}, ["Name 7"]),
        ({"external_id": "x"}, []),
        ({"name_prefix": "Name 1"}, ["Name 1", "Name 10", "Name 11"]),
        ({"name_prefix": "nAME 1"}, ["Name 1", "Name 10", "Name 11"]),
        ({"name_prefix": "%"}, []),
        ({"name_prefix": "Name _"}, []),
        ({"name_prefix": "Name 1", "external_id": "x11"}, ["Name 11"]),
    ],
)
async def test_filters(
    client: AsyncClient,
    many_subjects: Callable[[int], list[UUID]],
    params: dict[str, str],
    found: list[str],
) -> None:
    many_subjects(12)
    page = (await client.get("/subjects", params=params)).json()
    assert sorted(each["name"] for each in page["subjects"]) == found


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        pytest.param("Οδυσσέας", "ΟΔΥΣ", id="final-sigma"),
        pytest.param("İpek Çelik", "İpek", id="dotted-i"),
        pytest.param("50%_/x", "50%_/", id="wildcards"),
    ],
)
async def test_names_and_prefixes_are_lowered_alike(
    client: AsyncClient,
    many_subjects: Callable[[int], list[UUID]],
    database_url: str,
    name: str,
    prefix: str,
) -> None:
    many_subjects(2)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE subjects SET name = %s WHERE external_id = 'x1'", [name])
    page = (await client.get("/subjects", params={"name_prefix": prefix})).json()
    assert [each["name"] for each in page["subjects"]] == [name]


async def test_a_subject_is_shown_with_its_samples(client: AsyncClient, picture: Picture) -> None:
    made = await enrol(client, picture("obama2"), picture("obama3"), name="Barack")
    shown = (await client.get(f"/subjects/{made['subject_id']}")).json()
    samples = shown.pop("samples")
    assert shown == made
    assert len(samples) == shown["sample_count"] == 2
    assert samples[0].keys() == {"sample_id", "quality", "created_at", "picture_kept"}
    assert samples[0]["created_at"] < samples[1]["created_at"]


async def test_a_change_is_seen_by_the_next_answer(client: AsyncClient, picture: Picture) -> None:
    made = await enrol(
        client, picture("obama2"), name="Barack", external_id="x", metadata='{"a":1}'
    )
    address = f"/subjects/{made['subject_id']}"

    changed = await client.patch(address, json={"name": "Hussein"})
    assert changed.status_code == 200
    assert changed.json()["name"] == "Hussein"
    assert changed.json()["external_id"] == "x"
    assert changed.json()["metadata"] == {"a": 1}
    assert await names_found(client, picture("obama3")) == ["Hussein"]

    cleared = await client.patch(
        address, json={"name": None, "external_id": None, "metadata": None}
    )
    shown = (await client.get(address)).json()
    assert cleared.json() == shown
    assert (shown["name"], shown["external_id"], shown["metadata"]) == (None, None, {})
    assert await names_found(client, picture("obama3")) == [None]


async def test_a_consent_reference_is_kept_shown_changed_and_taken_away(
    client: AsyncClient, picture: Picture, capfd: pytest.CaptureFixture[str]
) -> None:
    reference = "contract 17, of 2 May"
    subject = await enrol(client, picture("obama2"), consent_reference=reference)
    assert subject["consent_reference"] == reference
    address = f"/subjects/{subject['subject_id']}"
    assert (await client.get(address)).json()["consent_reference"] == reference
    (listed,) = (await client.get("/subjects")).json()["subjects"]
    assert listed["consent_reference"] == reference
    unchanged = await client.patch(address, json={"name": "x"})
    assert unchanged.json()["consent_reference"] == reference
    taken_away = await client.patch(address, json={"consent_reference": None})
    assert taken_away.json()["consent_reference"] is None
    refused = await client.patch(address, json={"consent_reference": "x" * 201})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    added = {"subject_id": subject["subject_id"], "consent_reference": reference}
    files = {"images": ("x.jpg", picture("obama3"))}
    refused = await client.post("/enroll", files=files, data=added)
    assert (refused.status_code, refused.json()["code"]) == (422, "fields_not_allowed")
    written = capfd.readouterr()
    assert "contract 17" not in written.out + written.err


async def test_an_external_id_can_be_kept_but_not_taken(
    client: AsyncClient, picture: Picture
) -> None:
    first = await enrol(client, picture("obama2"), external_id="one")
    second = await enrol(client, picture("biden"), external_id="two", name="Joe")

    taken = await client.patch(f"/subjects/{second['subject_id']}", json={"external_id": "one"})
    assert (taken.status_code, taken.json()["code"]) == (409, "external_id_taken")
    assert taken.json()["subject_id"] == first["subject_id"]
    kept = await client.patch(f"/subjects/{second['subject_id']}", json={"external_id": "two"})
    assert kept.status_code == 200
    freed = await client.patch(f"/subjects/{first['subject_id']}", json={"external_id": None})
    assert freed.status_code == 200
    given = await client.patch(f"/subjects/{second['subject_id']}", json={"external_id": "one"})
    assert given.json()["external_id"] == "one"


async def test_a_deleted_subject_is_gone_everywhere(
    client: AsyncClient, picture: Picture, rows: Callable[[], dict[str, int]]
) -> None:
    await enrol(client, picture("biden"), name="Joe")
    before = rows()
    made = await enrol(client, picture("obama2"), picture("obama3"), name="Barack")

    assert (await client.delete(f"/subjects/{made['subject_id']}")).status_code == 204

    assert await names_found(client, picture("obama3")) == ["Joe"]
    assert (await client.get(f"/subjects/{made['subject_id']}")).status_code == 404
    assert (await client.delete(f"/subjects/{made['subject_id']}")).status_code == 404
    after = rows()
    assert after.pop("changes") == before.pop("changes") + 2
    assert after == before


async def test_a_subject_without_samples_stays_and_can_get_new_ones(
    client: AsyncClient, picture: Picture
) -> None:
    made = await enrol(client, picture("obama2"), name="Barack")
    address = f"/subjects/{made['subject_id']}"
    (sample,) = (await client.get(address)).json()["samples"]

    unknown = await client.delete(f"{address}/samples/{UNKNOWN_ID}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "sample_not_found")
    deleted = await client.delete(f"{address}/samples/{sample['sample_id']}")
    assert deleted.status_code == 204
    assert (await client.get(address)).json()["sample_count"] == 0
    assert await names_found(client, picture("obama3")) == []

    await enrol(client, picture("obama2"), subject_id=made["subject_id"])
    assert await names_found(client, picture("obama3")) == ["Barack"]


async def test_writes_to_one_subject_at_once_all_happen(
    client: AsyncClient, picture: Picture
) -> None:
    made = await enrol(client, picture("obama2"))
    address = f"/subjects/{made['subject_id']}"

    def variant(n: int) -> bytes:
        out = io.BytesIO()
        with Image.open(io.BytesIO(picture("obama2"))) as image:
            image.save(out, "JPEG", quality=70 + n)
        return out.getvalue()

    answers = await asyncio.gather(
        *(enrol(client, variant(n), subject_id=made["subject_id"]) for n in range(4)),
        *(client.patch(address, json={"metadata": {"n": n}}) for n in range(4)),
    )

    assert len(answers) == 8
    shown = (await client.get(address)).json()
    assert len(shown["samples"]) == shown["sample_count"] == 5
    (collection,) = (await client.get("/collections")).json()["collections"]
    assert collection["revision"] == collection["gallery"]["revision"] == 9


async def test_a_change_and_the_end_of_its_collection_wait_for_one_another(
    client: AsyncClient, picture: Picture, database_url: str
) -> None:
    subject = await enrol(client, picture("obama"))
    path = f"/subjects/{subject['subject_id']}"

    async def wait_for_waiting(connection: psycopg.Connection[Any], count: int) -> None:
        """Return when so many transactions wait for a lock."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        for _ in range(500):
            row = connection.execute(query).fetchone()
            if row is not None and row[0] == count:
                return
            await asyncio.sleep(0.01)
        pytest.fail("the requests do not wait")

    with (
        psycopg.connect(database_url, autocommit=True) as watching,
        psycopg.connect(database_url) as holding,
    ):
        holding.execute("SELECT FROM subjects FOR UPDATE")
        changing = asyncio.create_task(client.patch(path, json={"name": "x"}))
        await wait_for_waiting(watching, 1)
        deleting = asyncio.create_task(client.delete("/collections/default"))
        await wait_for_waiting(watching, 2)
        holding.rollback()
        changed, deleted = await asyncio.gather(changing, deleting)

    assert (changed.status_code, deleted.status_code) == (200, 204)
    assert (await client.get(path)).status_code == 404
