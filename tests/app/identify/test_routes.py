import asyncio
import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from PIL import Image

Picture = Callable[[str], bytes]


async def enrol(client: AsyncClient, picture: bytes, **data: str) -> None:
    answer = await client.post("/enroll", files={"images": ("x.jpg", picture)}, data=data)
    assert answer.status_code == 201, answer.text


async def identify(client: AsyncClient, picture: bytes, **data: Any) -> dict[str, Any]:
    answer = await client.post("/identify", files={"image": ("x.jpg", picture)}, data=data)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


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


async def test_an_empty_collection_knows_nobody(client: AsyncClient, picture: Picture) -> None:
    answer = await identify(client, picture("obama2"))
    (face,) = answer["faces"]
    assert (face["decision"], face["best"], face["candidates"]) == ("unknown", None, [])
    assert answer["revision"] == 0
    assert answer["bundle"] is None
    assert answer["embedder"] == "mobilefacenet-192"
    assert answer["timings_ms"].keys() == {
        "decode",
        "detect",
        "align",
        "embed",
        "search",
        "decide",
        "total",
    }


async def test_a_picture_without_a_face_is_no_error(client: AsyncClient, picture: Picture) -> None:
    assert (await identify(client, picture("cat")))["faces"] == []


async def test_the_known_are_named_and_strangers_are_not(
    client: AsyncClient, picture: Picture
) -> None:
    await enrol(client, picture("obama2"), name="Barack Obama", external_id="p-44")

    (known,) = (await identify(client, picture("obama3")))["faces"]
    assert known["decision"] == "match"
    assert known["best"] == known["candidates"][0]
    assert (known["best"]["name"], known["best"]["external_id"]) == ("Barack Obama", "p-44")

    for stranger in ("biden", "astronaut"):
        (face,) = (await identify(client, picture(stranger)))["faces"]
        assert (face["decision"], face["best"]) == ("unknown", None)
        assert face["candidates"][0]["name"] == "Barack Obama"


async def test_all_faces_are_answered_largest_first_and_each_subject_once(
    client: AsyncClient, picture: Picture
) -> None:
    await enrol(client, picture("obama2"), name="Barack Obama")
    await enrol(client, picture("biden"), name="Joe Biden")

    three = side_by_side(picture("obama3"), picture("biden"), picture("obama2"))
    faces = (await identify(client, three))["faces"]

    assert len(faces) == 3
    areas = [face["box"]["width"] * face["box"]["height"] for face in faces]
    assert areas == sorted(areas, reverse=True)
    named = [face["best"]["name"] for face in faces if face["best"]]
    assert sorted(named) == ["Barack Obama", "Joe Biden"]


async def test_boxes_and_landmarks_are_in_pixels_and_shares_of_the_picture(
    client: AsyncClient, picture: Picture
) -> None:
    with Image.open(io.BytesIO(picture("astronaut"))) as image:
        width, height = image.size
    (face,) = (await identify(client, picture("astronaut")))["faces"]
    box, shares = face["box"], face["box_normalized"]
    assert shares["x"] * width == pytest.approx(box["x"], abs=0.1)
    assert shares["y"] * height == pytest.approx(box["y"], abs=0.1)
    assert shares["width"] * width == pytest.approx(box["width"], abs=0.1)
    assert shares["height"] * height == pytest.approx(box["height"], abs=0.1)
    points = face["landmarks"]
    assert points["left_eye"]["x"] < points["nose"]["x"] < points["right_eye"]["x"]
    assert points["left_eye"]["y"] < points["nose"]["y"] < points["mouth_left"]["y"]
    for point in points.values():
        assert box["x"] < point["x"] < box["x"] + box["width"]
        assert box["y"] < point["y"] < box["y"] + box["height"]


async def test_the_threshold_follows_from_the_target_or_is_given(
    client: AsyncClient, picture: Picture
) -> None:
    await enrol(client, picture("obama2"))
    default = (await identify(client, picture("obama3")))["threshold"]
    asked = (await identify(client, picture("obama3"), max_fpir="0.01"))["threshold"]
    loose = (await identify(client, picture("obama3"), max_fpir="0.3"))["threshold"]
    assert loose < default == asked

    strict = await identify(client, picture("obama3"), threshold="0.999")
    assert strict["threshold"] == 0.999
    assert strict["faces"][0]["decision"] == "unknown"
    everybody = await identify(client, picture("biden"), threshold="-1")
    assert everybody["faces"][0]["decision"] == "match"


async def test_limit_is_how_many_candidates_are_listed(
    client: AsyncClient, picture: Picture
) -> None:
    for name in ("obama2", "biden", "astronaut"):
        await enrol(client, picture(name), name=name)
    for limit in (1, 2, 3, 50):
        (face,) = (await identify(client, picture("obama3"), limit=limit))["faces"]
        scores = [each["score"] for each in face["candidates"]]
        assert len(scores) == min(limit, 3)
        assert scores == sorted(scores, reverse=True)


async def test_identifying_asks_the_database_for_nothing(
    app: FastAPI, client: AsyncClient, picture: Picture
) -> None:
    await enrol(client, picture("obama2"))
    database = app.state.services.database
    await identify(client, picture("obama3"))  # the key is looked up
    held = [await database._engine.connect() for _ in range(10)]
    try:
        (face,) = (await identify(client, picture("obama3")))["faces"]
    finally:
        for connection in held:
            await connection.close()
    assert face["decision"] == "match"


async def test_detect_shows_faces_and_their_quality(client: AsyncClient, picture: Picture) -> None:
    answer = await client.post("/detect", files={"image": ("x.jpg", picture("obama2"))})
    (face,) = answer.json()["faces"]
    assert face.keys() == {"box", "box_normalized", "landmarks", "detection_score", "quality"}
    assert 0 <= face["quality"]["score"] <= 1
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


async def test_more_requests_than_may_wait_are_told_to_come_back(
    app: FastAPI, client: AsyncClient, picture: Picture
) -> None:
    inference = app.state.services.inference
    gate = threading.Event()
    places = inference._free_places
    waiting = [asyncio.create_task(inference.run(gate.wait, 30)) for _ in range(places)]
    await asyncio.sleep(0)
    try:
        for path, field in (("/identify", "image"), ("/detect", "image"), ("/enroll", "images")):
            answer = await client.post(path, files={field: ("x", picture("obama2"))})
            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
            assert answer.headers["Retry-After"] == "1"
        assert (await client.get("/subjects")).status_code == 200
    finally:
        gate.set()
        await asyncio.gather(*waiting)
    assert (await identify(client, picture("obama2")))["faces"]
