"""What is said of a face changes the next answers: the way from a picture and back, over HTTP."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from httpx import AsyncClient

from app.settings import Settings
from tests.app.subjects.test_service import Picture, enrol

Serve = Callable[[Settings], AbstractAsyncContextManager[AsyncClient]]


async def face_of(client: AsyncClient, picture: bytes) -> dict[str, Any]:
    """Identify a picture; give its largest face."""
    answer = await client.post("/identify", files={"image": ("x.jpg", picture)})
    assert answer.status_code == 200, answer.text
    face: dict[str, Any] = answer.json()["faces"][0]
    return face


async def say(client: AsyncClient, subject_id: str, face: dict[str, Any], verdict: str) -> str:
    answer = await client.post(
        f"/subjects/{subject_id}/feedback",
        json={"identification_id": face["identification_id"], "verdict": verdict},
    )
    assert answer.status_code == 201, answer.text
    feedback_id: str = answer.json()["feedback_id"]
    return feedback_id


async def test_a_rejected_face_is_no_match_again_and_other_faces_are(
    client: AsyncClient, picture: Picture
) -> None:
    subject = (await enrol(client, picture("obama")))["subject_id"]
    before = await face_of(client, picture("obama2"))
    assert before["best"]["subject_id"] == subject

    feedback_id = await say(client, subject, before, "rejected")

    after = await face_of(client, picture("obama2"))
    assert (after["decision"], after["best"]) == ("unknown", None)
    # A person who looks for oneself still sees whom the face is like, and what was said.
    (candidate,) = after["candidates"]
    assert (candidate["subject_id"], candidate["rejected"]) == (subject, True)
    assert candidate["score"] == before["best"]["score"]
    another = await face_of(client, picture("obama3"))
    assert another["best"]["subject_id"] == subject
    assert another["best"]["rejected"] is False

    await client.delete(f"/subjects/{subject}/feedback/{feedback_id}")
    assert (await face_of(client, picture("obama2")))["best"] == before["best"]


async def test_a_rejected_face_goes_to_the_next_who_matches(
    client: AsyncClient, picture: Picture
) -> None:
    nearest = (await enrol(client, picture("obama3")))["subject_id"]
    next_one = (await enrol(client, picture("obama"), allow_conflict="true"))["subject_id"]
    before = await face_of(client, picture("obama2"))
    ranked = [each["subject_id"] for each in before["candidates"]]
    assert set(ranked) == {nearest, next_one}

    await say(client, ranked[0], before, "rejected")

    after = await face_of(client, picture("obama2"))
    assert (after["decision"], after["best"]["subject_id"]) == ("match", ranked[1])


async def test_a_confirmed_face_and_a_verdict_that_was_changed_hide_nothing(
    client: AsyncClient, picture: Picture
) -> None:
    subject = (await enrol(client, picture("obama")))["subject_id"]
    before = await face_of(client, picture("obama2"))
    for verdict, decision in (
        ("confirmed", "match"),
        ("rejected", "unknown"),
        ("confirmed", "match"),
    ):
        await say(client, subject, before, verdict)
        assert (await face_of(client, picture("obama2")))["decision"] == decision


async def test_what_was_said_holds_after_a_restart_and_in_other_services(
    serve: Serve, settings: Settings, picture: Picture
) -> None:
    async with serve(settings) as one:
        subject = (await enrol(one, picture("obama")))["subject_id"]
        early = await face_of(one, picture("obama2"))
    async with serve(settings) as later:
        # The id was made before the restart.
        await say(later, subject, early, "rejected")
        async with serve(settings) as another:
            assert (await face_of(another, picture("obama2")))["decision"] == "unknown"
            assert (await face_of(another, picture("obama3")))["decision"] == "match"


async def test_the_same_picture_asked_for_again_is_the_same_face(
    client: AsyncClient, picture: Picture
) -> None:
    subject = (await enrol(client, picture("obama")))["subject_id"]
    first, again = [await face_of(client, picture("obama2")) for _ in range(2)]
    assert first["identification_id"] != again["identification_id"]
    feedback_id = await say(client, subject, first, "rejected")
    # Who was wrong need not have kept the id.
    assert await say(client, subject, again, "confirmed") == feedback_id
    assert (await face_of(client, picture("obama2")))["decision"] == "match"
