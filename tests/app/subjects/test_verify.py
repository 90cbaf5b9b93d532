from collections.abc import Callable
from typing import Any

import pytest
from httpx import AsyncClient

Picture = Callable[[str], bytes]


async def enrol(client: AsyncClient, *pictures: bytes) -> str:
    answer = await client.post("/enroll", files=[("images", ("x", each)) for each in pictures])
    assert answer.status_code == 201, answer.text
    subject_id: str = answer.json()["subject"]["subject_id"]
    return subject_id


async def verify(client: AsyncClient, files: dict[str, bytes], **data: str) -> dict[str, Any]:
    answer = await client.post(
        "/verify", files={name: ("x", each) for name, each in files.items()}, data=data
    )
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize(("other", "match"), [("obama3", True), ("biden", False)])
async def test_two_pictures(client: AsyncClient, picture: Picture, other: str, match: bool) -> None:
    answer = await verify(client, {"image_a": picture("obama2"), "image_b": picture(other)})
    assert answer["match"] is match
    assert (answer["score"] >= answer["threshold"]) is match
    assert answer["max_fmr"] == 1e-3


@pytest.mark.parametrize(("probe", "match"), [("obama3", True), ("biden", False)])
async def test_a_picture_and_a_subject_score_as_in_a_search(
    client: AsyncClient, picture: Picture, probe: str, match: bool
) -> None:
    subject_id = await enrol(client, picture("obama2"))
    answer = await verify(client, {"image": picture(probe)}, subject_id=subject_id)
    assert answer["match"] is match
    search = await client.post("/identify", files={"image": ("x", picture(probe))})
    (candidate,) = search.json()["faces"][0]["candidates"]
    assert candidate["score"] == pytest.approx(answer["score"], abs=1e-5)


async def test_a_stricter_target_raises_the_threshold(
    client: AsyncClient, picture: Picture
) -> None:
    pair = {"image_a": picture("obama2"), "image_b": picture("obama3")}
    thresholds = [
        (await verify(client, pair, max_fmr=str(max_fmr)))["threshold"]
        for max_fmr in (0.1, 1e-3, 1e-6)
    ]
    assert thresholds == sorted(thresholds)
    assert len(set(thresholds)) == 3


async def test_problems_name_the_field(client: AsyncClient, picture: Picture) -> None:
    faceless = await verify(client, {"image_a": picture("obama2"), "image_b": picture("cat")})
    assert (faceless["code"], faceless["field"]) == ("no_face", "image_b")
    broken = await verify(client, {"image_a": b"x", "image_b": picture("obama2")})
    assert (broken["code"], broken["field"]) == ("unsupported_format", "image_a")
    several = await verify(
        client, {"image_a": picture("golden/group-pair-240"), "image_b": picture("obama2")}
    )
    assert (several["code"], several["field"]) == ("multiple_faces", "image_a")
    chosen = await verify(
        client,
        {"image_a": picture("golden/group-pair-240"), "image_b": picture("obama2")},
        select="largest",
    )
    assert "score" in chosen


async def test_a_subject_without_samples_can_t_be_compared_with(
    client: AsyncClient, picture: Picture
) -> None:
    subject_id = await enrol(client, picture("obama2"))
    (sample,) = (await client.get(f"/subjects/{subject_id}")).json()["samples"]
    await client.delete(f"/subjects/{subject_id}/samples/{sample['sample_id']}")
    answer = await verify(client, {"image": picture("obama3")}, subject_id=subject_id)
    assert (answer["status"], answer["code"]) == (409, "no_samples")


@pytest.mark.parametrize(
    ("fields", "data"),
    [
        ((), {}),
        (("image",), {}),
        (("image_a", "image"), {}),
        (("image_a", "image_b", "image"), {}),
        (("image_a", "image_b"), {"subject_id": "00000000-0000-4000-8000-000000000000"}),
        ((), {"subject_id": "00000000-0000-4000-8000-000000000000"}),
    ],
)
async def test_other_combinations_are_refused(
    client: AsyncClient, picture: Picture, fields: tuple[str, ...], data: dict[str, str]
) -> None:
    answer = await verify(client, {field: picture("obama2") for field in fields}, **data)
    assert (answer["status"], answer["code"]) == (422, "fields_not_allowed")
