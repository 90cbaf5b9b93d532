"""Whoever has written reads it at any replica; and what is answered while the database is away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pytest
from httpx import AsyncClient, Response
from pydantic import SecretStr

from app.gallery import follower
from app.settings import Settings
from benchmarks.servers import Postgres

Picture = Callable[[str], bytes]
Serve = Callable[[Settings], AbstractAsyncContextManager[AsyncClient]]
Pair = tuple[AsyncClient, AsyncClient]


async def enrol(client: AsyncClient, picture: bytes, **data: str) -> Response:
    return await client.post("/enroll", files={"images": ("x.jpg", picture)}, data=data)


async def identify(client: AsyncClient, picture: bytes, revision: object = None) -> Response:
    headers = {} if revision is None else {"Cohort-Min-Revision": str(revision)}
    return await client.post("/identify", files={"image": ("x.jpg", picture)}, headers=headers)


@pytest.fixture
async def pair(
    serve: Serve, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pair]:
    """Two services, none of which hears of the other's writes of itself."""
    monkeypatch.setattr(follower, "POLL_S", 600)
    async with serve(settings) as one, serve(settings) as other:
        yield one, other


async def test_every_write_names_a_revision_that_others_answer_with(
    pair: Pair, picture: Picture
) -> None:
    one, other = pair
    enrolled = await enrol(one, picture("obama"))
    assert enrolled.headers["Cohort-Revision"] == str(enrolled.json()["revision"]) == "1"
    subject = f"/subjects/{enrolled.json()['subject']['subject_id']}"
    answer = await identify(other, picture("obama2"), enrolled.headers["Cohort-Revision"])
    assert answer.headers["Cohort-Revision"] == str(answer.json()["revision"]) == "1"
    [face] = answer.json()["faces"]
    feedback = {"identification_id": face["identification_id"], "verdict": "confirmed"}

    renamed = await one.patch(subject, json={"name": "B."})
    given = await one.post(f"{subject}/feedback", json=feedback)
    again = await one.post(f"{subject}/feedback", json=feedback)
    taken_back = await one.delete(f"{subject}/feedback/{given.json()['feedback_id']}")
    sample_id = enrolled.json()["accepted"][0]["sample_id"]
    more = await enrol(one, picture("obama3"), subject_id=enrolled.json()["subject"]["subject_id"])
    deleted_sample = await one.delete(f"{subject}/samples/{sample_id}")
    verified = await other.post(
        "/verify",
        files={"image": ("x.jpg", picture("obama3"))},
        data={"subject_id": subject.rpartition("/")[2]},
        headers={"Cohort-Min-Revision": deleted_sample.headers["Cohort-Revision"]},
    )
    deleted = await one.delete(subject)
    writes = [renamed, given, again, taken_back, more, deleted_sample, verified, deleted]
    revisions = [each.headers["Cohort-Revision"] for each in writes]
    assert revisions == ["2", "3", "3", "4", "5", "6", "6", "7"], [each.text for each in writes]

    gone = await other.post(
        "/verify",
        files={"image": ("x.jpg", picture("obama3"))},
        data={"subject_id": subject.rpartition("/")[2]},
        headers={"Cohort-Min-Revision": "7"},
    )
    assert (gone.status_code, gone.json()["code"]) == (404, "subject_not_found")


async def test_a_revision_that_does_not_come_is_503_and_a_malformed_one_422(
    serve: Serve, settings: Settings, picture: Picture
) -> None:
    async with serve(settings.model_copy(update={"min_revision_wait_s": 0.5})) as client:
        async with asyncio.timeout(20):
            answer = await identify(client, picture("obama"), 5)
        assert (answer.status_code, answer.json()["code"]) == (503, "behind")
        assert answer.headers["Retry-After"] == "1"
        for malformed in ("x", "-1", "1.5", "", str(2**63)):
            answer = await identify(client, picture("obama"), malformed)
            problem = answer.status_code, answer.json()["code"]
            assert problem == (422, "invalid_request"), malformed


async def test_an_enrolment_is_compared_with_what_another_replica_was_told(
    pair: Pair, picture: Picture
) -> None:
    one, other = pair
    first = await enrol(one, picture("obama"))
    refused = await other.post(
        "/enroll",
        files={"images": ("x.jpg", picture("obama2"))},
        headers={"Cohort-Min-Revision": first.headers["Cohort-Revision"]},
    )
    assert refused.status_code == 422, refused.text
    [rejected] = refused.json()["rejected"]
    assert rejected["conflicting_subject_id"] == first.json()["subject"]["subject_id"]


async def test_what_another_replica_has_just_made_is_not_unknown_here(
    pair: Pair, picture: Picture
) -> None:
    one, other = pair
    assert (await one.post("/collections", json={"name": "staff"})).status_code == 201
    enrolled = await enrol(other, picture("obama"), collection="staff")
    assert enrolled.status_code == 201
    subject_id = enrolled.json()["subject"]["subject_id"]
    more = await enrol(one, picture("obama2"), subject_id=subject_id)
    assert more.status_code == 201
    assert (await one.delete("/collections/staff")).status_code == 204


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """Not under pytest's folder, whose rights pytest itself resets."""
    with TemporaryDirectory(prefix="cohort-tests-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder) / "postgres")
        server.start()
        yield server
        server.process.thaw()
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("killed", [True, False])
async def test_while_the_database_is_away_searches_are_answered_from_memory(
    serve: Serve, settings: Settings, own_postgres: Postgres, picture: Picture, *, killed: bool
) -> None:
    own = settings.model_copy(update={"database_url": SecretStr(own_postgres.url)})
    async with serve(own) as client:
        subject_id = (await enrol(client, picture("obama"))).json()["subject"]["subject_id"]
        if killed:
            own_postgres.process.kill()
        else:
            own_postgres.process.freeze()
        async with asyncio.timeout(10):
            while (await client.get("/readyz")).json()["database"] != "away":
                await asyncio.sleep(0.1)
        answer = await identify(client, picture("obama2"), 1)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Cohort-Database"] == "away"
        assert answer.json()["faces"][0]["best"]["subject_id"] == subject_id
        for path, files, data in (
            ("/detect", {"image": picture("obama")}, {}),
            ("/verify", {"image": picture("obama3")}, {"subject_id": subject_id}),
            ("/verify", {"image_a": picture("obama3"), "image_b": picture("obama")}, {}),
        ):
            answer = await client.post(path, files=files, data=data)
            assert (answer.status_code, answer.headers["Cohort-Database"]) == (200, "away"), path

        begun = monotonic()
        enrolment = await enrol(client, picture("biden"))
        for refused in (
            enrolment,
            await client.delete(f"/subjects/{subject_id}"),
            await client.patch(f"/subjects/{subject_id}", json={"name": "n"}),
            await client.get("/subjects"),
            await identify(client, picture("obama2"), 2),
        ):
            assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
            assert int(refused.headers["Retry-After"]) >= 1
        unknown = await client.post(
            "/identify", files={"image": picture("obama")}, data={"collection": "nowhere"}
        )
        assert unknown.status_code == 503  # nobody can say that there is none
        key = f"cohort_{'0' * 8}_{'x' * 43}"
        stranger = await client.get("/subjects", headers={"Authorization": f"Bearer {key}"})
        assert stranger.status_code == 503
        assert monotonic() - begun < 20

        if killed:
            await asyncio.to_thread(own_postgres.start)
        else:
            own_postgres.process.thaw()
        async with asyncio.timeout(10):
            while (await enrol(client, picture("biden"))).status_code != 201:
                await asyncio.sleep(0.1)
        assert "Cohort-Database" not in (await identify(client, picture("obama2"))).headers
