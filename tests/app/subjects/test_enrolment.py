"""POST /enroll: what becomes of pictures, and what 201 promises."""

import asyncio
import io
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response
from PIL import Image, ImageFilter

from vault.vault import Vault

Picture = Callable[[str], bytes]


def files(field: str, **pictures: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [(field, (f"{name}.jpg", data)) for name, data in pictures.items()]


async def enrol(
    client: AsyncClient, *, data: dict[str, Any] | None = None, **pictures: bytes
) -> Response:
    return await client.post("/enroll", files=files("images", **pictures), data=data or {})


async def identify(client: AsyncClient, picture: bytes, **data: Any) -> list[dict[str, Any]]:
    answer = await client.post("/identify", files={"image": ("probe.jpg", picture)}, data=data)
    assert answer.status_code == 200, answer.text
    faces: list[dict[str, Any]] = answer.json()["faces"]
    return faces


def brightened(data: bytes, factor: float) -> bytes:
    """Another picture of the same face."""
    with Image.open(io.BytesIO(data)) as image:
        changed = image.point(lambda value: min(255, int(value * factor)))
    out = io.BytesIO()
    changed.save(out, "JPEG", quality=92)
    return out.getvalue()


def side_by_side(*pictures: bytes) -> bytes:
    images = [Image.open(io.BytesIO(data)).convert("RGB") for data in pictures]
    whole = Image.new("RGB", (sum(i.width for i in images), max(i.height for i in images)))
    x = 0
    for image in images:
        whole.paste(image, (x, 0))
        x += image.width
    out = io.BytesIO()
    whole.save(out, "JPEG", quality=92)
    return out.getvalue()


async def test_an_enrolled_subject_is_shown_and_found(
    client: AsyncClient, picture: Picture
) -> None:
    answer = await enrol(
        client,
        obama2=picture("obama2"),
        data={"name": "Barack Obama", "external_id": "p-44", "metadata": '{"office": 44}'},
    )

    assert answer.status_code == 201
    body = answer.json()
    assert body["subject"] | {"subject_id": "", "created_at": ""} == {
        "subject_id": "",
        "external_id": "p-44",
        "name": "Barack Obama",
        "metadata": {"office": 44},
        "consent_reference": None,
        "collection": "default",
        "sample_count": 1,
        "created_at": "",
    }
    assert body["rejected"] == []
    assert [(each["index"], each["filename"]) for each in body["accepted"]] == [(0, "obama2.jpg")]
    assert body["accepted"][0]["box"].keys() == {"x", "y", "width", "height"}
    assert body["revision"] == 1
    assert body["request_id"] == answer.headers["X-Request-ID"]

    (face,) = await identify(client, picture("obama3"))
    assert face["decision"] == "match"
    assert face["best"]["name"] == "Barack Obama"
    assert face["best"]["external_id"] == "p-44"


async def test_each_bad_picture_is_rejected_with_its_reason(
    client: AsyncClient, picture: Picture
) -> None:
    answer = await enrol(
        client,
        good=picture("obama2"),
        cat=picture("cat"),
        text=b"this is no picture",
        empty=b"",
        two=side_by_side(picture("biden"), picture("astronaut")),
        again=picture("obama2"),
        other=picture("biden"),
    )

    assert answer.status_code == 201
    assert [each["index"] for each in answer.json()["accepted"]] == [0]
    assert [(each["index"], each["reason"]) for each in answer.json()["rejected"]] == [
        (1, "no_face"),
        (2, "unsupported_format"),
        (3, "empty_image"),
        (4, "multiple_faces"),
        (5, "duplicate_picture"),
        (6, "inconsistent_face"),
    ]


async def test_nothing_is_stored_when_all_are_rejected(
    client: AsyncClient, picture: Picture, rows: Callable[[], dict[str, int]]
) -> None:
    before = rows()
    answer = await enrol(client, cat=picture("cat"), data={"external_id": "cat"})

    assert answer.status_code == 422
    assert answer.json()["code"] == "no_face_enrolled"
    assert [each["reason"] for each in answer.json()["rejected"]] == ["no_face"]
    assert rows() == before


@pytest.mark.parametrize(("select", "found"), [("largest", "astronaut"), ("center", "biden")])
async def test_select_chooses_among_several_faces(
    client: AsyncClient, picture: Picture, select: str, found: str
) -> None:
    with Image.open(io.BytesIO(picture("astronaut"))) as image:
        face = image.crop((100, 0, 356, 256)).resize((512, 512))
    large = io.BytesIO()
    face.save(large, "JPEG", quality=92)
    small = picture("biden")
    # Biden's face stands in the middle and is the smaller one.
    both = side_by_side(blank(200), small, large.getvalue())

    answer = await enrol(client, both=both, data={"select": select, "name": "chosen"})

    assert answer.status_code == 201, answer.text
    (face_found,) = await identify(client, picture(found))
    assert face_found["decision"] == "match"


def blank(width: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, 100)).save(out, "JPEG")
    return out.getvalue()


async def test_samples_are_added_to_a_known_subject(client: AsyncClient, picture: Picture) -> None:
    subject = (await enrol(client, a=picture("obama2"))).json()["subject"]
    known = {"subject_id": subject["subject_id"]}

    added = await enrol(
        client, a=picture("obama3"), b=picture("biden"), c=picture("obama2"), data=known
    )

    assert added.status_code == 201
    assert added.json()["subject"]["sample_count"] == 2
    assert added.json()["revision"] == 2
    assert [each["reason"] for each in added.json()["rejected"]] == [
        "inconsistent_face",
        "duplicate_picture",
    ]
    refused = await enrol(client, a=picture("obama2"), data=known | {"name": "new name"})
    assert (refused.status_code, refused.json()["code"]) == (422, "fields_not_allowed")


async def test_a_subject_is_only_known_in_its_collection(
    client: AsyncClient, picture: Picture
) -> None:
    await client.post("/collections", json={"name": "other"})
    made = await enrol(client, a=picture("obama2"), data={"collection": "other"})
    subject_id = made.json()["subject"]["subject_id"]
    assert made.json()["subject"]["collection"] == "other"

    elsewhere = await enrol(
        client, a=picture("obama3"), data={"subject_id": subject_id, "collection": "default"}
    )
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (404, "subject_not_found")
    there = await enrol(client, a=picture("obama3"), data={"subject_id": subject_id})
    assert there.status_code == 201
    (face,) = await identify(client, picture("obama3"))
    assert face["candidates"] == []


async def test_a_face_of_another_subject_conflicts_unless_allowed(
    client: AsyncClient, picture: Picture
) -> None:
    first = (await enrol(client, a=picture("obama2"))).json()["subject"]

    refused = await enrol(client, a=picture("obama3"), data={"name": "somebody else"})
    assert refused.status_code == 422
    (rejected,) = refused.json()["rejected"]
    assert rejected["reason"] == "conflicts_with_subject"
    assert rejected["conflicting_subject_id"] == first["subject_id"]

    allowed = await enrol(client, a=picture("obama3"), data={"allow_conflict": "true"})
    assert allowed.status_code == 201


async def test_a_taken_external_id_names_its_subject(client: AsyncClient, picture: Picture) -> None:
    first = (await enrol(client, a=picture("obama2"), data={"external_id": "x"})).json()["subject"]

    taken = await enrol(client, a=picture("biden"), data={"external_id": "x"})

    assert (taken.status_code, taken.json()["code"]) == (409, "external_id_taken")
    assert taken.json()["subject_id"] == first["subject_id"]


async def test_one_external_id_is_given_once_to_many_at_once(
    client: AsyncClient, picture: Picture
) -> None:
    answers = await asyncio.gather(
        *(
            enrol(
                client,
                a=brightened(picture("obama2"), 1 + n / 50),
                data={"external_id": "x", "allow_conflict": "true"},
            )
            for n in range(6)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]


async def test_simultaneous_enrolments_get_consecutive_revisions_and_are_found(
    client: AsyncClient, picture: Picture
) -> None:
    answers = await asyncio.gather(
        *(
            enrol(
                client,
                a=brightened(picture(name), 1 + n / 40),
                data={"external_id": f"{name}-{n}", "allow_conflict": "true"},
            )
            for name in ("obama2", "biden")
            for n in range(4)
        )
    )

    assert sorted(answer.json()["revision"] for answer in answers) == list(range(1, 9))
    for name in ("obama2", "biden"):
        (face,) = await identify(client, picture(name), limit=8)
        found = {each["external_id"] for each in face["candidates"][:4]}
        assert found == {f"{name}-{n}" for n in range(4)}


async def test_an_enrolment_that_commits_late_is_not_skipped(
    app: FastAPI, client: AsyncClient, picture: Picture, database_url: str
) -> None:
    """Another process has written a subject and taken its revision, but not yet committed."""
    with psycopg.connect(database_url) as late:
        (collection_id,) = late.execute("SELECT id FROM collections").fetchone() or (None,)
        (subject_id,) = late.execute(
            "INSERT INTO subjects (id, collection_id, name, metadata)"
            " VALUES (gen_random_uuid(), %s, 'late', '{}') RETURNING id",
            [collection_id],
        ).fetchone() or (None,)
        vault: Vault = app.state.services.vault
        template = await template_of(client, vault, picture("astronaut"), database_url)
        late.execute(
            "INSERT INTO samples (id, subject_id, template, picture_sha256, quality_score,"
            " quality_reasons) VALUES (gen_random_uuid(), %s, %s, '', 1, '{}')",
            [subject_id, vault.seal(template, purpose="sample", owner=subject_id)],
        )
        late.execute("UPDATE collections SET revision = revision + 1")
        late.execute(
            "INSERT INTO changes (collection_id, revision, subject_id, kind)"
            " SELECT id, revision, %s, 'subject_enrolled' FROM collections",
            [subject_id],
        )
        waiting = asyncio.create_task(enrol(client, a=picture("obama2")))
        done, _ = await asyncio.wait([waiting], timeout=1.0)
        assert not done, "a later revision was given out before the earlier one had committed"
    answer = await waiting

    assert answer.status_code == 201
    (face,) = await identify(client, picture("astronaut"))
    assert face["best"]["name"] == "late"


async def template_of(
    client: AsyncClient, vault: Vault, picture: bytes, database_url: str
) -> bytes:
    """Let the service make a template, in a collection that is deleted again."""
    await client.post("/collections", json={"name": "aside"})
    answer = await enrol(client, a=picture, data={"collection": "aside"})
    sample_id = answer.json()["accepted"][0]["sample_id"]
    with psycopg.connect(database_url) as connection:
        (sealed, subject_id) = connection.execute(
            "SELECT template, subject_id FROM samples WHERE id = %s", [sample_id]
        ).fetchone() or (b"", None)
    await client.delete("/collections/aside")
    return vault.open(sealed, purpose="sample", owner=subject_id)


async def test_variants_are_stored_and_never_found(
    client: AsyncClient, picture: Picture, rows: Callable[[], dict[str, int]], database_url: str
) -> None:
    await enrol(client, a=picture("obama2"))

    assert rows()["samples"] == 1
    assert rows()["variants"] == 3
    with psycopg.connect(database_url) as connection:
        kinds = connection.execute("SELECT DISTINCT kind FROM variants").fetchall()
    assert {kind for (kind,) in kinds} <= {"resolution", "blur", "brightness", "cover"}
    (collection,) = (await client.get("/collections")).json()["collections"]
    assert collection["sample_count"] == 1


async def test_low_quality_is_rejected_from_the_set_floor(
    settings: Any, serve: Any, picture: Picture
) -> None:
    with Image.open(io.BytesIO(picture("biden"))) as image:
        blurred = image.filter(ImageFilter.GaussianBlur(4))
    out = io.BytesIO()
    blurred.save(out, "JPEG")
    strict = settings.model_copy(update={"enroll_min_quality": 0.9})
    async with serve(strict) as client:
        answer = await enrol(client, a=out.getvalue())
    assert answer.status_code == 422
    (rejected,) = answer.json()["rejected"]
    assert rejected["reason"] == "low_quality"
    assert "blurred" in rejected["detail"]


async def test_file_names_are_given_back_whatever_they_are(
    client: AsyncClient, picture: Picture
) -> None:
    answer = await client.post(
        "/enroll", files=[("images", ("a\\ud800.jpg", picture("obama2"), "image/jpeg"))]
    )
    assert answer.status_code == 201


async def test_conflicts_are_looked_for_among_those_enrolled_meanwhile(
    settings: Any, serve: Any, picture: Picture
) -> None:
    async with serve(settings.model_copy(update={"inference_workers": 1})) as client:
        files = [("images", ("x.jpg", picture("obama")))] * 20
        long = asyncio.create_task(client.post("/enroll", files=files))
        await asyncio.sleep(0.1)  # it has begun
        short = await enrol(client, a=picture("obama2"))
        answer = await long

    assert (short.status_code, answer.status_code) == (201, 422)
    (conflict,) = (each for each in answer.json()["rejected"] if "conflict" in each["reason"])
    assert conflict["conflicting_subject_id"] == short.json()["subject"]["subject_id"]
